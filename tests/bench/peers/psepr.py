"""The PsEPR snapshot as rows, one model for each number of brokers.

Reads what `rhizo-bench psepr --tsv FILE` writes, a description of its own beside the `Problem` that rhizo solves.
"""

from dataclasses import dataclass

from rows import Rows, solve

ADD_COST = 0.012
DIAMETER_LIMIT_MS = 1000.0
# No round trip of the files is longer.
FARTHEST_MS = 1e6
BUDGET = 1.5
SIZES = range(6, 11)
WEIGHTS = 10.0


@dataclass
class Node:
    name: str
    load: float
    slices: float
    free_ghz: float
    price: float
    quarter: int
    running: bool

    def worth(self):
        return 2 * worth(self.load, 0, 10) + 1 * worth(self.slices, 0, 10) + 3 * worth(self.free_ghz, 4, 1)

    def is_usable(self):
        return self.load < 10.0 and self.slices < 10.0 and self.free_ghz > 1.5


@dataclass
class Snapshot:
    nodes: list
    anchors: list
    rtt: list

    def between(self, a, b):
        """The round-trip time between two nodes: the longer of the two directions."""
        return max(self.rtt[a][b], self.rtt[b][a])


def read(path):
    snapshot = Snapshot([], [], [])
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            kind, *fields = line.rstrip("\n").split("\t")
            if kind == "node":
                name, load, slices, free, price, quarter, running = fields
                numbers = (float(load), float(slices), float(free), float(price), int(quarter))
                snapshot.nodes.append(Node(name, *numbers, running == "1"))
            elif kind == "anchor":
                snapshot.anchors.append(int(fields[0]))
            elif kind == "rtt":
                snapshot.rtt.append([float(field) for field in fields])
    return snapshot


def worth(value, best, worst):
    return min(1.0, max(0.0, (worst - value) / (worst - best)))


def rows_of(snapshot, size):
    """The rows for `size` brokers, and the column of each usable node."""
    rows = Rows()
    usable = [i for i, node in enumerate(snapshot.nodes) if node.is_usable()]
    fresh = lambda node: 0.0 if node.running else ADD_COST
    chosen = {i: rows.whole(1, fresh(snapshot.nodes[i]) - snapshot.nodes[i].worth() / WEIGHTS / size) for i in usable}
    # The worth of a latency falls with it; beyond the worst value it is 0, which is above every round trip here.
    diameter = rows.measured(DIAMETER_LIMIT_MS, 2 / WEIGHTS / 1000.0)
    farthest = rows.measured(FARTHEST_MS, 2 / WEIGHTS / 500.0)
    rows.add([(1, x) for x in chosen.values()], size, size)
    rows.add([(snapshot.nodes[i].price, x) for i, x in chosen.items()], high=BUDGET)
    for quarter in range(4):
        inside = [(1, x) for i, x in chosen.items() if snapshot.nodes[i].quarter == quarter]
        rows.add(inside, high=(size - 1) // 4 + 1)
    for a in usable:
        for b in usable:
            if a < b:
                ms = snapshot.between(a, b)
                rows.add([(1, diameter), (-ms, chosen[a]), (-ms, chosen[b])], low=-ms)
    for anchor in snapshot.anchors:
        near = {i: rows.whole() for i in usable}
        rows.add([(1, x) for x in near.values()], 1, 1)
        for i in usable:
            rows.add([(1, near[i]), (-1, chosen[i])], high=0)
        rows.add([(1, farthest)] + [(-snapshot.rtt[anchor][i], x) for i, x in near.items()], low=0)
    return rows, chosen


def best(snapshot, solver, seconds):
    """The best brokers of any number: objective, whether it is proven, seconds."""
    found, proven, spent = None, True, 0.0
    for size in SIZES:
        rows, chosen = rows_of(snapshot, size)
        answer = solve(rows, solver, max(0.1, seconds - spent))
        spent += answer.seconds
        proven &= answer.proven
        if answer.value is not None:
            value = score(snapshot, [i for i, x in chosen.items() if answer.columns[x] > 0.5])
            found = value if found is None else max(found, value)
    return found, proven, spent


def score(snapshot, members):
    """The objective from its definition, so that tolerances of the solver do not blur the comparison."""
    size = len(members)
    total = sum(snapshot.nodes[i].worth() for i in members) / size
    spread = max(snapshot.between(a, b) for a in members for b in members if a != b)
    reach = max(min(snapshot.rtt[anchor][i] for i in members) for anchor in snapshot.anchors)
    total += 2 * worth(reach, 0, 500) + 2 * worth(spread, 0, 1000)
    return total / WEIGHTS - ADD_COST * sum(not snapshot.nodes[i].running for i in members)
