#!/usr/bin/env python3
"""Solves a PsEPR snapshot with HiGHS, one mixed-integer problem per number of brokers.

A second, independent method beside rhizo's own branch and bound. Needs `pip install highspy`.

    rhizo-bench psepr --latency FILE --seed K --tsv snapshot.tsv --json > ours.json
    python3 tests/bench/peers/psepr_highs.py snapshot.tsv [ours.json]

Prints one line of JSON; exits with 1 when it disagrees with `ours.json` by more than 1e-6.
"""

import json
import sys
import time

import highspy

ADD_COST = 0.012
DIAMETER_LIMIT_MS = 1000.0
BUDGET = 1.5
SIZES = range(6, 11)
TOLERANCE = 1e-6


def read(path):
    nodes, anchors, rtt = [], [], []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            kind, *fields = line.rstrip("\n").split("\t")
            if kind == "node":
                name, load, slices, free, price, quarter, running = fields
                nodes.append((name, float(load), float(slices), float(free), float(price), int(quarter), running == "1"))
            elif kind == "anchor":
                anchors.append(int(fields[0]))
            elif kind == "rtt":
                rtt.append([float(field) for field in fields])
    return nodes, anchors, rtt


def worth(value, best, worst):
    return min(1.0, max(0.0, (worst - value) / (worst - best)))


def solve(nodes, anchors, rtt, size, time_limit):
    """The best set of `size` nodes as (objective, names), or none."""
    usable = [i for i, (_, load, slices, free, *_rest) in enumerate(nodes) if load < 10.0 and slices < 10.0 and free > 1.5]
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)
    model.setOptionValue("mip_rel_gap", 0.0)
    model.setOptionValue("mip_abs_gap", 1e-9)
    model.setOptionValue("mip_feasibility_tolerance", 1e-9)
    model.setOptionValue("time_limit", time_limit)
    weights = 10.0
    chosen = {}
    for i in usable:
        _, load, slices, free, _, _, running = nodes[i]
        value = 2 * worth(load, 0, 10) + 1 * worth(slices, 0, 10) + 3 * worth(free, 4, 1)
        chosen[i] = model.addVariable(0, 1, value / weights / size - (0.0 if running else ADD_COST))
        model.changeColIntegrality(chosen[i].index, highspy.HighsVarType.kInteger)
    # The worth of a latency falls with it and is 0 beyond its worst value, which is above every round trip here.
    diameter = model.addVariable(0, DIAMETER_LIMIT_MS, -2 / weights / 1000.0)
    farthest = model.addVariable(0, 1e6, -2 / weights / 500.0)
    model.addConstr(sum(chosen.values()) == size)
    model.addConstr(sum(nodes[i][4] * x for i, x in chosen.items()) <= BUDGET)
    for quarter in range(4):
        inside = [x for i, x in chosen.items() if nodes[i][5] == quarter]
        if inside:
            model.addConstr(sum(inside) <= (size - 1) // 4 + 1)
    # d >= max of the row over the chosen, for every chosen node: big-M rows, tightened by grouping each row's
    # larger entries (x_i + x_j <= 1 + d / rtt would be weaker and one row per pair).
    for a in usable:
        for b in usable:
            if a < b:
                model.addConstr(diameter - rtt[a][b] * chosen[a] - rtt[a][b] * chosen[b] >= -rtt[a][b])
    for anchor in anchors:
        near = {i: model.addVariable(0, 1, 0.0) for i in usable}
        model.addConstr(sum(near.values()) == 1)
        for i in usable:
            model.addConstr(near[i] - chosen[i] <= 0)
        model.addConstr(farthest - sum(rtt[anchor][i] * x for i, x in near.items()) >= 0)
    model.changeObjectiveSense(highspy.ObjSense.kMaximize)
    model.run()
    status = model.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        return None, True
    proven = status == highspy.HighsModelStatus.kOptimal
    values = model.getSolution().col_value
    members = [i for i, x in chosen.items() if values[x.index] > 0.5]
    return (score(nodes, anchors, rtt, members), [nodes[i][0] for i in members]), proven


def score(nodes, anchors, rtt, members):
    """The objective from its definition, so that tolerances of the solver do not blur the comparison."""
    size = len(members)
    total = 0.0
    for i in members:
        _, load, slices, free, *_rest = nodes[i]
        total += (2 * worth(load, 0, 10) + 1 * worth(slices, 0, 10) + 3 * worth(free, 4, 1)) / size
    spread = max(rtt[a][b] for a in members for b in members)
    reach = max(min(rtt[anchor][i] for i in members) for anchor in anchors)
    total += 2 * worth(reach, 0, 500) + 2 * worth(spread, 0, 1000)
    added = sum(not nodes[i][6] for i in members)
    return total / 10.0 - ADD_COST * added


def main():
    nodes, anchors, rtt = read(sys.argv[1])
    start = time.monotonic()
    best, all_proven = None, True
    for size in SIZES:
        found, proven = solve(nodes, anchors, rtt, size, 600.0)
        all_proven &= proven
        if found and (best is None or found[0] > best[0]):
            best = found
    report = {
        "seconds": round(time.monotonic() - start, 3),
        "proven": all_proven,
        "objective": best[0] if best else None,
        "chosen": sorted(best[1]) if best else [],
    }
    if len(sys.argv) > 2:
        with open(sys.argv[2], encoding="utf-8") as file:
            ours = json.load(file)
        report["ours"] = ours["objective"]
        report["ours_seconds"] = ours["seconds"]
        report["agree"] = abs(ours["objective"] - report["objective"]) <= TOLERANCE and all_proven
    print(json.dumps(report))
    return 0 if report.get("agree", True) else 1


if __name__ == "__main__":
    sys.exit(main())
