"""A linear model in whole numbers and measured ones, and the two solvers that it is handed to.

One formulation goes to both, so that what differs is the solver. It knows nothing of what is modelled: see `shop.py`
and `psepr.py`. Needs `pip install ortools highspy`.
"""

import math
import os
import sys
import time
from dataclasses import dataclass, field

INFINITY = math.inf
# CP-SAT counts in whole numbers: a measured column is counted in thousandths, the resolution of the round-trip files.
STEPS = 1000
# Rows are multiplied by the least power of ten that makes them whole; beyond this one they are rounded.
SCALE_MAX = 10**6
# The objective has weights that are no decimal fractions; what rounding costs is far below the tolerance of comparisons.
OBJECTIVE_SCALE = 10**9


@dataclass
class Answer:
    """What a solver says: the least value, a bound below it, whether they meet, the columns."""

    value: float | None
    bound: float | None
    proven: bool
    columns: list
    seconds: float


@dataclass
class Rows:
    """Columns `(low, high, cost, is_whole)` and rows `(low, high, {column: factor})`; the cost is to be least."""

    columns: list = field(default_factory=list)
    rows: list = field(default_factory=list)

    def whole(self, high=1, cost=0.0, low=0):
        self.columns.append((low, high, cost, True))
        return len(self.columns) - 1

    def measured(self, high, cost=0.0):
        self.columns.append((0.0, high, cost, False))
        return len(self.columns) - 1

    def add(self, terms, low=-INFINITY, high=INFINITY):
        """A row over `(factor, column)` pairs; a column may come up twice."""
        summed = {}
        for factor, column in terms:
            summed[column] = summed.get(column, 0.0) + factor
        self.rows.append((low, high, {column: factor for column, factor in summed.items() if factor != 0.0}))

    def values(self, columns):
        return [sum(factor * columns[c] for c, factor in terms.items()) for _, _, terms in self.rows]


def solve(rows, solver, seconds):
    """Solves with `highs` or `cpsat` on two threads; the time counts the hand-over too."""
    begun = time.monotonic()
    answer = {"highs": highs, "cpsat": cpsat}[solver](rows, seconds)
    answer.seconds = time.monotonic() - begun
    return answer


def quietly(make):
    """Calls something whose library greets on the standard output, which tables are printed on."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), 1)
        try:
            return make()
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def highs(rows, seconds):
    import highspy
    import numpy

    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(rows.columns), len(rows.rows)
    bound = lambda value: highspy.kHighsInf * (1 if value > 0 else -1) if math.isinf(value) else value
    model.col_lower_ = numpy.array([float(low) for low, *_ in rows.columns])
    model.col_upper_ = numpy.array([float(high) for _, high, *_ in rows.columns])
    model.col_cost_ = numpy.array([cost for _, _, cost, _ in rows.columns])
    kind = highspy.HighsVarType
    model.integrality_ = [kind.kInteger if whole else kind.kContinuous for *_, whole in rows.columns]
    model.row_lower_ = numpy.array([bound(low) for low, _, _ in rows.rows])
    model.row_upper_ = numpy.array([bound(high) for _, high, _ in rows.rows])
    starts, indices, factors = [0], [], []
    for _, _, terms in rows.rows:
        indices.extend(terms)
        factors.extend(terms.values())
        starts.append(len(indices))
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = numpy.array(starts)
    model.a_matrix_.index_ = numpy.array(indices)
    model.a_matrix_.value_ = numpy.array(factors)
    engine = quietly(highspy.Highs)
    for option, value in {
        "output_flag": False,
        "time_limit": float(seconds),
        "threads": 2,
        "mip_rel_gap": 0.0,
        "mip_abs_gap": 1e-9,
        "mip_feasibility_tolerance": 1e-9,
    }.items():
        engine.setOptionValue(option, value)
    engine.passModel(model)
    engine.run()
    status, info = engine.getModelStatus(), engine.getInfo()
    found = info.primal_solution_status == 2
    ended = highspy.HighsModelStatus
    return Answer(
        value=info.objective_function_value if found else None,
        bound=info.mip_dual_bound if math.isfinite(info.mip_dual_bound) else None,
        proven=status in (ended.kOptimal, ended.kInfeasible),
        columns=list(engine.getSolution().col_value) if found else [],
        seconds=0.0,
    )


def scale_of(values):
    """The least power of ten that makes all values whole, as far as there is one up to `SCALE_MAX`."""
    scale = 1
    while scale < SCALE_MAX and any(abs(v * scale - round(v * scale)) > 1e-7 for v in values):
        scale *= 10
    return scale


def cpsat(rows, seconds):
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    steps = [1 if whole else STEPS for *_, whole in rows.columns]
    columns = [
        model.NewIntVar(math.ceil(low * step), math.floor(high * step), "")
        for (low, high, *_), step in zip(rows.columns, steps)
    ]
    for low, high, terms in rows.rows:
        factors = {c: factor / steps[c] for c, factor in terms.items()}
        scale = scale_of([*factors.values(), *(v for v in (low, high) if math.isfinite(v))])
        total = sum(round(scale * factor) * columns[c] for c, factor in factors.items())
        least = cp_model.INT_MIN if math.isinf(low) else round(scale * low)
        most = cp_model.INT_MAX if math.isinf(high) else round(scale * high)
        model.AddLinearConstraint(total, least, most)
    costs = {c: cost / steps[c] for c, (_, _, cost, _) in enumerate(rows.columns) if cost != 0.0}
    scale = scale_of(costs.values())
    if scale == SCALE_MAX:
        scale = OBJECTIVE_SCALE
    model.Minimize(sum(round(scale * cost) * columns[c] for c, cost in costs.items()))
    engine = cp_model.CpSolver()
    engine.parameters.max_time_in_seconds = float(seconds)
    engine.parameters.num_workers = 2
    status = engine.Solve(model)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    return Answer(
        value=engine.ObjectiveValue() / scale if found else None,
        bound=engine.BestObjectiveBound() / scale,
        proven=status in (cp_model.OPTIMAL, cp_model.INFEASIBLE),
        columns=[engine.Value(column) / step for column, step in zip(columns, steps)] if found else [],
        seconds=0.0,
    )
