#!/usr/bin/env python3
"""Checks psepr's first plan against a second exact method, for each snapshot of the data.

    python3 examples/psepr/optimum.py target/release/psepr

For each of the five snapshots it asks `psepr plan --json` for a plan of this folder's rhizo.toml, and solves the
same problem with HiGHS, one mixed-integer problem per number of brokers (needs `pip install highspy`). It reads
rhizo.toml and the data files itself and shares no code with rhizo. Exits with 1 when a plan is not proven, breaks
a rule or is not the optimum.
"""

import csv
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import tomllib

import highspy

HERE = pathlib.Path(__file__).resolve().parent
CLOUDS = ["aws", "azure", "gcp"]
TOLERANCE = 1e-6


def rows(name):
    with open(HERE / "data" / name, newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


class Snapshot:
    """All regions at one moment, and the rules of rhizo.toml."""

    def __init__(self, time_s):
        self.spec = tomllib.loads((HERE / "rhizo.toml").read_text(encoding="utf-8"))
        matrix = list(csv.reader(open(HERE / "data/rtt_matrix_ms.csv", newline="", encoding="utf-8")))
        self.rtt = {row[0]: dict(zip(matrix[0][1:], map(float, row[1:]))) for row in matrix[1:]}
        self.regions = {}
        for cloud in CLOUDS:
            for row in rows(f"offers-{cloud}.csv"):
                assert row["available"] == "1", "this model has one machine per region"
                self.regions[row["region"]] = {"cloud": cloud, "price": float(row["price_per_hour"]),
                                               "quarter": row["attr.quarter"], "ghz": float(row["attr.cpu_ghz"])}
            for row in rows(f"attributes-{cloud}.csv"):
                if int(row["at_s"]) == time_s:
                    self.regions[row["region"]] |= {"load": float(row["attr.load5"]),
                                                    "slices": float(row["attr.live_slices"]),
                                                    "free": float(row["attr.cpu_free"])}
        goals = {goal["name"]: goal for goal in self.spec["utility"]}
        self.goals = goals
        self.weights = sum(goal["weight"] for goal in goals.values())
        self.usable = [name for name, it in self.regions.items()
                       if it["load"] < 10 and it["slices"] < 10 and it["ghz"] * it["free"] > 1.5]

    def worth(self, goal, value):
        best, worst = self.goals[goal]["best"], self.goals[goal]["worst"]
        return self.goals[goal]["weight"] / self.weights * min(1, max(0, (worst - value) / (worst - best)))

    def own_worth(self, name):
        it = self.regions[name]
        return (self.worth("load", it["load"]) + self.worth("slices", it["slices"])
                + self.worth("free-cpu", it["ghz"] * it["free"]))

    def objective(self, members):
        """Utility minus the cost of acquiring all members, by definition."""
        diameter = max(self.rtt[a][b] for a in members for b in members)
        reach = max(min(self.rtt[anchor][m] for m in members) for anchor in self.spec["anchors"]["sites"])
        own = sum(self.own_worth(m) for m in members) / len(members)
        return (own + self.worth("near-users", reach) + self.worth("diameter", diameter)
                - self.spec["migration"]["add"] * len(members))

    def broken(self, members):
        """Names of the rules that a set of regions breaks."""
        count = len(members)
        inside = lambda key: [sum(self.regions[m][key] == value for m in members)
                              for value in {self.regions[m][key] for m in members}]
        replicas = self.spec["components"]["broker"]["replicas"]
        diameter = max(self.rtt[a][b] for a in members for b in members)
        found = []
        found += [] if replicas["min"] <= count <= replicas["max"] and len(set(members)) == count else ["replicas"]
        found += [] if set(members) <= set(self.usable) else ["lightly-loaded or spare-cpu"]
        found += [] if max(inside("quarter")) <= (count - 1) // 4 + 1 else ["geo-spread"]
        found += [] if len(inside("cloud")) >= 3 else ["survives-a-cloud"]
        found += [] if diameter < 1000 else ["small-diameter"]
        price = sum(self.regions[m]["price"] for m in members)
        return found + ([] if price <= self.spec["budget"]["max_hourly"] else ["budget"])

    def solve(self, count):
        """The best set of `count` regions by HiGHS; none when there is none."""
        model = highspy.Highs()
        model.setOptionValue("output_flag", False)
        model.setOptionValue("mip_rel_gap", 0.0)
        model.setOptionValue("mip_abs_gap", 1e-9)
        chosen = {}
        for name in self.usable:
            chosen[name] = model.addVariable(0, 1, self.own_worth(name) / count - self.spec["migration"]["add"])
            model.changeColIntegrality(chosen[name].index, highspy.HighsVarType.kInteger)
        rate = lambda goal: self.goals[goal]["weight"] / self.weights / self.goals[goal]["worst"]
        # Linear in the whole range: no round trip here is beyond the worst value of its goal (asserted below).
        diameter = model.addVariable(0, 999.999, -rate("diameter"))
        reach = model.addVariable(0, 500, -rate("near-users"))
        model.addConstr(sum(chosen.values()) == count)
        model.addConstr(sum(self.regions[n]["price"] * x for n, x in chosen.items()) <= self.spec["budget"]["max_hourly"])
        for quarter in {it["quarter"] for it in self.regions.values()}:
            inside = [x for n, x in chosen.items() if self.regions[n]["quarter"] == quarter]
            if inside:
                model.addConstr(sum(inside) <= (count - 1) // 4 + 1)
        for cloud in CLOUDS:
            # At least three clouds of three: one machine in each.
            model.addConstr(sum(x for n, x in chosen.items() if self.regions[n]["cloud"] == cloud) >= 1)
        for a in self.usable:
            for b in self.usable:
                if a < b:
                    far = self.rtt[a][b]
                    model.addConstr(diameter - far * chosen[a] - far * chosen[b] >= -far)
        for anchor in self.spec["anchors"]["sites"]:
            near = {n: model.addVariable(0, 1, 0.0) for n in self.usable}
            model.addConstr(sum(near.values()) == 1)
            for n in self.usable:
                model.addConstr(near[n] - chosen[n] <= 0)
            model.addConstr(reach - sum(self.rtt[anchor][n] * x for n, x in near.items()) >= 0)
        model.changeObjectiveSense(highspy.ObjSense.kMaximize)
        model.run()
        if model.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
            return None
        assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal, "HiGHS did not finish"
        values = model.getSolution().col_value
        return [n for n, x in chosen.items() if values[x.index] > 0.5]


def planned(program, time_s):
    """The regions, the objective and the seconds of `psepr plan` when this snapshot is the present."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.copy(HERE / "rhizo.toml", folder)
        shutil.copytree(HERE / "data", folder / "data")
        for cloud in CLOUDS:
            path = folder / "data" / f"attributes-{cloud}.csv"
            header, *lines = path.read_text(encoding="utf-8").splitlines()
            now = ["0," + line.split(",", 1)[1] for line in lines if line.startswith(f"{time_s},")]
            path.write_text("\n".join([header, *now]) + "\n", encoding="utf-8")
        run = subprocess.run([program, "plan", "rhizo.toml", "--json"], cwd=folder, capture_output=True, check=True)
        plan = json.loads(run.stdout)
    return [it["region"] for it in plan["proposed"]], plan


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    program = str(pathlib.Path(sys.argv[1]).resolve())
    failed = False
    for time_s in sorted({int(row["at_s"]) for row in rows("attributes-aws.csv")}):
        snapshot = Snapshot(time_s)
        assert max(max(row.values()) for row in snapshot.rtt.values()) <= 500
        members, plan = planned(program, time_s)
        replicas = snapshot.spec["components"]["broker"]["replicas"]
        candidates = [snapshot.solve(count) for count in range(replicas["min"], replicas["max"] + 1)]
        best = max((c for c in candidates if c), key=snapshot.objective)
        ours, theirs = snapshot.objective(members), snapshot.objective(best)
        broken = snapshot.broken(members) + snapshot.broken(best)
        agrees = (plan["proven"] and not broken and abs(ours - theirs) <= TOLERANCE
                  and abs(ours - plan["objective"]) <= TOLERANCE)
        failed |= not agrees
        print(f"snapshot {time_s:>4} s: psepr {plan['objective']:.6f} with {len(members)} brokers in "
              f"{plan['solver_seconds']:.3f} s, HiGHS {theirs:.6f} with {len(best)}; "
              + ("agreed" if agrees else f"DIFFERENT, proven {plan['proven']}, broken rules {broken}"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
