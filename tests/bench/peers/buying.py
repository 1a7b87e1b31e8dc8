#!/usr/bin/env python3
"""Solves a machine-buying problem with OR-Tools CP-SAT or HiGHS, beside rhizo's answer to the same problem.

    rhizo-bench multicloud --n 10 --problem problem.json --json > ours.json
    python3 tests/bench/peers/buying.py problem.json ours.json --solver cpsat --time 60

Reads the JSON of `rhizo_solver::Problem` (also from the benches sage and prob090); needs `pip install ortools highspy`.
Instances go to numbered hosts, each host is of one offer or not bought: a model over hosts, with symmetry between
hosts broken, as published for CP and MIP. Prints one line of JSON with both answers; exits with 1 when the peer proves
that rhizo's price is not the best although rhizo claims it, or finds a cheaper purchase than a claimed optimum.
"""

import argparse
import json
import sys
import time

PRICE_SCALE = 1_000_000
NEED_SCALE = 1_000


class Unknown(Exception):
    """A rule that the model has no words for."""


def scope(problem, value):
    if value == "all":
        return list(range(len(problem["components"])))
    if "component" in value:
        return [value["component"]]
    if "components" in value:
        return value["components"]
    raise Unknown("rules over single instances")


class Model:
    """What both solvers need: instances, offers, and rules as plain lists."""

    def __init__(self, problem, hosts_max):
        self.problem = problem
        components = problem["components"]
        self.slots = [(c, o) for c, comp in enumerate(components) for o in range(comp["replicas_max"])]
        self.by_component = {c: [s for s, (k, _) in enumerate(self.slots) if k == c] for c in range(len(components))}
        self.hosts = min(hosts_max, len(self.slots))
        self.offers = problem["machines"]
        self.resources = range(len(problem["resources"]))
        self.need = [[round(NEED_SCALE * x) for x in components[c].get("needs", [])] for c, _ in self.slots]

    def ms(self, a, b):
        x, y = self.offers[a]["site"], self.offers[b]["site"]
        latency, sites = self.problem["latency"]["ms"], self.problem["latency"]["sites"]
        return max(latency[x * sites + y], latency[y * sites + x])


def rules(problem):
    for named in problem["constraints"]:
        (kind, rule), = named["item"].items()
        yield kind, rule


def cpsat(problem, seconds, hosts_max):
    from ortools.sat.python import cp_model

    m = Model(problem, hosts_max)
    model = cp_model.CpModel()
    x = {(s, h): model.NewBoolVar("") for s in range(len(m.slots)) for h in range(m.hosts)}
    # Offer 0 is no host at all.
    offer = [model.NewIntVar(0, len(m.offers), "") for _ in range(m.hosts)]
    used = [model.NewBoolVar("") for _ in range(m.hosts)]
    price = [model.NewIntVar(0, max(round(PRICE_SCALE * o["price"]) for o in m.offers), "") for _ in range(m.hosts)]
    for h in range(m.hosts):
        model.AddElement(offer[h], [0] + [round(PRICE_SCALE * o["price"]) for o in m.offers], price[h])
        model.Add(offer[h] >= 1).OnlyEnforceIf(used[h])
        model.Add(offer[h] == 0).OnlyEnforceIf(used[h].Not())
        for r in m.resources:
            top = max(round(NEED_SCALE * o["capacity"][r]) for o in m.offers)
            room = model.NewIntVar(0, top, "")
            model.AddElement(offer[h], [0] + [round(NEED_SCALE * o["capacity"][r]) for o in m.offers], room)
            model.Add(sum(m.need[s][r] * x[s, h] for s in range(len(m.slots))) <= room)
        for s in range(len(m.slots)):
            model.AddImplication(x[s, h], used[h])
        model.AddBoolOr([x[s, h] for s in range(len(m.slots))] + [used[h].Not()])
        if h:
            model.Add(price[h - 1] >= price[h])
    runs = [model.NewBoolVar("") for _ in m.slots]
    for s in range(len(m.slots)):
        model.Add(sum(x[s, h] for h in range(m.hosts)) == runs[s])
    count = {}
    for c, slots in m.by_component.items():
        comp = problem["components"][c]
        count[c] = sum(runs[s] for s in slots)
        model.Add(count[c] >= comp["replicas_min"])
        for a, b in zip(slots, slots[1:]):
            model.AddImplication(runs[b], runs[a])
        if comp.get("per_host_max", 1):
            for h in range(m.hosts):
                model.Add(sum(x[s, h] for s in slots) <= comp.get("per_host_max", 1))
    site_of_offer = [-1] + [o["site"] if o["site"] is not None else -1 for o in m.offers]
    places = {}

    def place(s, table, key):
        """A table's value at the host of an instance; -2 when it does not run."""
        if (s, key) not in places:
            value = model.NewIntVar(-2, max(table), "")
            for h in range(m.hosts):
                if (h, key) not in places:
                    places[h, key] = model.NewIntVar(-1, max(table), "")
                    model.AddElement(offer[h], table, places[h, key])
                model.Add(value == places[h, key]).OnlyEnforceIf(x[s, h])
            model.Add(value == -2).OnlyEnforceIf(runs[s].Not())
            places[s, key] = value
        return places[s, key]

    sites = problem["latency"]["sites"]
    latency = problem["latency"]["ms"]

    def near(a, b, limit, strict):
        ok = lambda v: v < limit if strict else v <= limit
        pairs = [(x, y) for x in range(sites) for y in range(sites) if ok(max(latency[x * sites + y], latency[y * sites + x]))]
        pairs += [(-2, y) for y in range(-2, sites)] + [(x, -2) for x in range(sites)]
        model.AddAllowedAssignments([place(a, site_of_offer, "site"), place(b, site_of_offer, "site")], pairs)

    has = {}

    def on(c, h):
        if (c, h) not in has:
            has[c, h] = model.NewBoolVar("")
            model.AddMaxEquality(has[c, h], [x[s, h] for s in m.by_component[c]] or [model.NewConstant(0)])
        return has[c, h]

    present = {}

    def some(c):
        if c not in present:
            present[c] = model.NewBoolVar("")
            model.AddMaxEquality(present[c], [runs[s] for s in m.by_component[c]] or [model.NewConstant(0)])
        return present[c]

    splits = set()
    for kind, rule in rules(problem):
        if kind == "split" and rule["partition"] is None:
            groups = [scope(problem, g) for g in rule["scopes"]]
            for i, a in enumerate(groups):
                for b in groups[i + 1:]:
                    splits |= {(p, q) for p in a for q in b} | {(q, p) for p in a for q in b}
    for kind, rule in rules(problem):
        if kind == "each":
            allowed = [i + 1 for i, ok in enumerate(rule["allowed"]) if ok]
            flags = [1] + [int(ok) for ok in rule["allowed"]]
            for h in range(m.hosts):
                good = model.NewIntVar(0, 1, "")
                model.AddElement(offer[h], flags, good)
                for c in scope(problem, rule["scope"]):
                    for s in m.by_component[c]:
                        model.Add(good == 1).OnlyEnforceIf(x[s, h])
        elif kind == "bound" and isinstance(rule["limit"], dict) and "constant" in rule["limit"] and rule["comparison"] in ("less", "less_or_equal"):
            own = [s for c in scope(problem, rule["scope"]) for s in m.by_component[c]]
            strict, limit = rule["comparison"] == "less", rule["limit"]["constant"]
            if rule["measure"] == "diameter_ms":
                others = own
            elif isinstance(rule["measure"], dict) and "pair_latency_ms" in rule["measure"]:
                others = [s for c in scope(problem, rule["measure"]["pair_latency_ms"]) for s in m.by_component[c]]
            else:
                raise Unknown(f"a bound on {rule['measure']}")
            for a in own:
                for b in others:
                    if a != b and (rule["measure"] != "diameter_ms" or a < b):
                        near(a, b, limit, strict)
        elif kind == "spread":
            classes = [-1] + [k if k is not None else -1 for k in problem["partitions"][rule["partition"]]["class_of"]]
            slots = [s for c in scope(problem, rule["scope"]) for s in m.by_component[c]]
            inside = {}
            for k in range(max(classes) + 1):
                inside[k] = []
                for s in slots:
                    flag = model.NewBoolVar("")
                    value = place(s, classes, ("class", rule["partition"]))
                    model.Add(value == k).OnlyEnforceIf(flag)
                    model.Add(value != k).OnlyEnforceIf(flag.Not())
                    inside[k].append(flag)
            for key, sign in (("max_in_class", 1), ("min_distinct", -1)):
                limit = rule[key]
                if limit is None:
                    continue
                if "constant" not in limit:
                    raise Unknown("limits by size")
                if sign == 1:
                    for flags in inside.values():
                        model.Add(sum(flags) <= int(limit["constant"]))
                else:
                    distinct = []
                    for flags in inside.values():
                        any_ = model.NewBoolVar("")
                        model.AddMaxEquality(any_, flags)
                        distinct.append(any_)
                    model.Add(sum(distinct) >= int(-(-limit["constant"] // 1)))
        elif kind == "split" and rule["partition"] is None:
            pass
        elif kind == "together":
            for h in range(m.hosts):
                first, *rest = rule["components"]
                for other in rest:
                    model.Add(on(first, h) == on(other, h))
        elif kind == "everywhere":
            c = rule["component"]
            excuses = [d for d in m.by_component if (c, d) in splits]
            for h in range(m.hosts):
                model.AddBoolOr([on(c, h), used[h].Not()] + [on(d, h) for d in excuses])
        elif kind == "require":
            model.Add(rule["per_user"] * count[rule["user"]] <= rule["per_provider"] * count[rule["provider"]])
        elif kind == "linear":
            model.Add(sum(w * count[c] for c, w in rule["terms"]) <= rule["max"])
        elif kind == "count":
            total = sum(count[c] for c in rule["components"])
            model.Add(total >= rule["min"])
            model.Add(total <= rule["max"])
        elif kind == "alternatives":
            total = sum(some(c) for c in rule["components"])
            model.Add(total >= rule["min"])
            model.Add(total <= rule["max"])
        else:
            raise Unknown(f"a rule of kind {kind}")
    for a, b in splits:
        if a < b:
            for h in range(m.hosts):
                model.AddBoolOr([on(a, h).Not(), on(b, h).Not()])
    model.Minimize(sum(price))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 2
    status = solver.Solve(model)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    return (
        solver.ObjectiveValue() / PRICE_SCALE if found else None,
        solver.BestObjectiveBound() / PRICE_SCALE,
        status in (cp_model.OPTIMAL, cp_model.INFEASIBLE),
    )


def highs(problem, seconds, hosts_max):
    import highspy

    m = Model(problem, hosts_max)
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)
    model.setOptionValue("time_limit", seconds)
    model.setOptionValue("threads", 2)
    model.setOptionValue("mip_rel_gap", 0.0)
    binary = lambda cost=0.0: model.addVariable(0, 1, cost, type=highspy.HighsVarType.kInteger)
    slots, hosts = range(len(m.slots)), range(m.hosts)
    x = {(s, h): binary() for s in slots for h in hosts}
    y = {(h, o): binary(offer["price"]) for h in hosts for o, offer in enumerate(m.offers)}
    for h in hosts:
        bought = sum(y[h, o] for o in range(len(m.offers)))
        model.addConstr(bought <= 1)
        if h:
            before = sum(offer["price"] * y[h - 1, o] for o, offer in enumerate(m.offers))
            model.addConstr(before - sum(offer["price"] * y[h, o] for o, offer in enumerate(m.offers)) >= 0)
        for s in slots:
            model.addConstr(x[s, h] - bought <= 0)
        for r in m.resources:
            load = sum(m.need[s][r] / NEED_SCALE * x[s, h] for s in slots)
            model.addConstr(load - sum(o["capacity"][r] * y[h, i] for i, o in enumerate(m.offers)) <= 0)
    runs = {s: sum(x[s, h] for h in hosts) for s in slots}
    for s in slots:
        model.addConstr(runs[s] <= 1)
    count = {c: sum(runs[s] for s in of) for c, of in m.by_component.items()}
    for c, of in m.by_component.items():
        comp = problem["components"][c]
        model.addConstr(count[c] >= comp["replicas_min"])
        for h in hosts:
            if comp.get("per_host_max", 1):
                model.addConstr(sum(x[s, h] for s in of) <= comp.get("per_host_max", 1))
    present = {}

    def some(c):
        if c not in present:
            present[c] = binary()
            model.addConstr(count[c] - len(m.by_component[c]) * present[c] <= 0)
            model.addConstr(count[c] - present[c] >= 0)
        return present[c]

    on = {}

    def has(c, h):
        if (c, h) not in on:
            on[c, h] = binary()
            total = sum(x[s, h] for s in m.by_component[c])
            model.addConstr(total - len(m.by_component[c]) * on[c, h] <= 0)
            model.addConstr(total - on[c, h] >= 0)
        return on[c, h]

    splits = set()
    for kind, rule in rules(problem):
        if kind == "split" and rule["partition"] is None:
            groups = [scope(problem, g) for g in rule["scopes"]]
            for i, a in enumerate(groups):
                for b in groups[i + 1:]:
                    splits |= {(min(p, q), max(p, q)) for p in a for q in b}
    for a, b in splits:
        for h in hosts:
            model.addConstr(has(a, h) + has(b, h) <= 1)
    for kind, rule in rules(problem):
        if kind == "split" and rule["partition"] is None:
            pass
        elif kind == "together":
            for h in hosts:
                first, *rest = rule["components"]
                for other in rest:
                    model.addConstr(has(first, h) - has(other, h) == 0)
        elif kind == "everywhere":
            c = rule["component"]
            excuses = [d for d in m.by_component if (min(c, d), max(c, d)) in splits]
            for h in hosts:
                bought = sum(y[h, o] for o in range(len(m.offers)))
                model.addConstr(has(c, h) + sum(has(d, h) for d in excuses) - bought >= 0)
        elif kind == "require":
            model.addConstr(rule["per_user"] * count[rule["user"]] - rule["per_provider"] * count[rule["provider"]] <= 0)
        elif kind == "linear":
            model.addConstr(sum(w * count[c] for c, w in rule["terms"]) <= rule["max"])
        elif kind == "count":
            total = sum(count[c] for c in rule["components"])
            model.addConstr(total >= rule["min"])
            model.addConstr(total <= rule["max"])
        elif kind == "alternatives":
            total = sum(some(c) for c in rule["components"])
            model.addConstr(total >= rule["min"])
            model.addConstr(total <= rule["max"])
        else:
            raise Unknown(f"a rule of kind {kind} in a linear model")
    model.run()
    status = model.getModelStatus()
    info = model.getInfo()
    found = info.primal_solution_status == 2
    proven = status in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kInfeasible)
    return info.objective_function_value if found else None, info.mip_dual_bound, proven


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("problem")
    parser.add_argument("ours", nargs="?")
    parser.add_argument("--solver", choices=["cpsat", "highs"], default="cpsat")
    parser.add_argument("--time", type=float, default=60.0)
    parser.add_argument("--hosts", type=int, default=1000, help="hosts that the peer may use at most")
    arguments = parser.parse_args()
    with open(arguments.problem, encoding="utf-8") as file:
        problem = json.load(file)
    # Instances that no optimum uses would only burden the peer: replicas are cut to what counts allow.
    start = time.monotonic()
    try:
        solve = cpsat if arguments.solver == "cpsat" else highs
        price, bound, proven = solve(problem, arguments.time, arguments.hosts)
    except Unknown as what:
        print(json.dumps({"solver": arguments.solver, "unknown": str(what)}))
        return 0
    report = {
        "solver": arguments.solver,
        "price": price,
        "bound": bound,
        "proven": proven,
        "seconds": round(time.monotonic() - start, 3),
    }
    agree = True
    if arguments.ours:
        with open(arguments.ours, encoding="utf-8") as file:
            ours = json.load(file)
        report |= {"ours": ours["price"], "ours_proven": ours["proven"], "ours_seconds": ours["seconds"]}
        tolerance = 1e-6 * max(1.0, abs(ours["price"]))
        cheaper = price is not None and price < ours["price"] - tolerance
        dearer = proven and price is not None and price > ours["price"] + tolerance
        agree = not (ours["proven"] and cheaper) and not dearer
        report["agree"] = agree
    print(json.dumps(report))
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
