"""Buying machines as rows: from the JSON of `rhizo_solver::Problem` to a model over numbered hosts.

Each host is one offer or not bought, hosts are ordered by price, and a variable counts the instances of a component on a
host, so that instances are interchangeable. Offers that are dominated by another of the same place are left out, which
helps both solvers. The number of hosts is the least that the counts need, and `SPARE` more. Rules that the machine-buying
benches do not use raise `Unknown`.
"""

from rows import INFINITY, Rows, solve

# More hosts than the counts need at least; every known optimum of the benches buys fewer.
SPARE = 2


class Unknown(Exception):
    """A rule that the model cannot express."""


def scope(problem, value):
    if value == "all":
        return list(range(len(problem["components"])))
    if "component" in value:
        return [value["component"]]
    if "components" in value:
        return value["components"]
    raise Unknown("rules over single instances")


def most(limit):
    if "constant" not in limit:
        raise Unknown("limits by size")
    return limit["constant"]


class Shop:
    """The rules of a problem as plain lists."""

    def __init__(self, problem):
        self.problem = problem
        self.components = problem["components"]
        self.offers = list(range(len(problem["machines"])))
        self.linear = []
        self.splits = set()
        self.together = []
        self.everywhere = []
        self.alternatives = []
        self.allowed = [set(self.offers) for _ in self.components]
        self.near = []
        self.spread = []
        self.refuse_what_is_not_buying()
        for named in problem["constraints"]:
            ((kind, rule),) = named["item"].items()
            reader = getattr(self, f"read_{kind}", None)
            if reader is None:
                raise Unknown(f"rules of kind {kind}")
            reader(rule)
        self.drop_beaten_offers()

    def refuse_what_is_not_buying(self):
        p = self.problem
        (price,) = p["costs"]
        plain = price["item"]["measure"] == "total_price" and price["item"]["per_unit"] == 1.0
        buys = all("offer" in m["stock"] for m in p["machines"] if isinstance(m["stock"], dict))
        if not plain or not buys or p["utilities"] or any(isinstance(m["stock"], str) for m in p["machines"]):
            raise Unknown("anything but buying at the least price")
        if any(c.get("needs_each") for c in self.components):
            raise Unknown("instances with needs of their own")

    def read_each(self, rule):
        allowed = {o for o, ok in enumerate(rule["allowed"]) if ok}
        for c in scope(self.problem, rule["scope"]):
            self.allowed[c] &= allowed

    def read_count(self, rule):
        self.linear.append(([(1, c) for c in rule["components"]], rule["min"], rule["max"]))

    def read_linear(self, rule):
        self.linear.append(([(w, c) for c, w in rule["terms"]], -INFINITY, rule["max"]))

    def read_require(self, rule):
        if rule["exactly"]:
            raise Unknown("providers that are counted exactly")
        terms = [(rule["per_user"], rule["user"]), (-rule["per_provider"], rule["provider"])]
        self.linear.append((terms, -INFINITY, 0))

    def read_split(self, rule):
        if rule["partition"] is not None:
            raise Unknown("splits by class")
        groups = [scope(self.problem, g) for g in rule["scopes"]]
        for i, one in enumerate(groups):
            for other in groups[i + 1 :]:
                self.splits |= {(min(a, b), max(a, b)) for a in one for b in other}

    def read_together(self, rule):
        self.together.append(rule["components"])

    def read_everywhere(self, rule):
        self.everywhere.append(rule["component"])

    def read_alternatives(self, rule):
        self.alternatives.append((rule["components"], rule["min"], rule["max"]))

    def read_bound(self, rule):
        if rule["comparison"] not in ("less", "less_or_equal"):
            raise Unknown(f"a comparison by {rule['comparison']}")
        limit, strict = most(rule["limit"]), rule["comparison"] == "less"
        own, measure = scope(self.problem, rule["scope"]), rule["measure"]
        if measure == "diameter_ms":
            pairs = [(a, b) for i, a in enumerate(own) for b in own[i:]]
        elif isinstance(measure, dict) and "pair_latency_ms" in measure:
            pairs = [(a, b) for a in own for b in scope(self.problem, measure["pair_latency_ms"])]
        else:
            raise Unknown(f"a bound on {measure}")
        self.near += [(a, b, limit, strict) for a, b in pairs]

    def read_spread(self, rule):
        classes = self.problem["partitions"][rule["partition"]]["class_of"]
        limits = [rule[key] if rule[key] is None else most(rule[key]) for key in ("max_in_class", "min_distinct")]
        self.spread.append((scope(self.problem, rule["scope"]), classes, *limits))

    def near_sites(self, limit, strict):
        """For each site, the sites that are near enough; a site is always near itself here."""
        sites, ms = self.problem["latency"]["sites"], self.problem["latency"]["ms"]
        fits = lambda v: v < limit if strict else v <= limit
        near = [{j for j in range(sites) if fits(max(ms[i * sites + j], ms[j * sites + i]))} for i in range(sites)]
        if any(i not in near[i] for i in range(sites)):
            raise Unknown("hosts of one site that are too far from each other")
        return near

    def drop_beaten_offers(self):
        machines = self.problem["machines"]
        resources = range(len(self.problem["resources"]))
        best = {}
        for o in self.offers:
            m = machines[o]
            kind = (m["site"], *(o in allowed for allowed in self.allowed), *(c[o] for _, c, *_ in self.spread))
            best.setdefault(kind, []).append(o)

        def useful(o, r):
            """Capacity that instances can fill: one host runs so many of each component at most."""
            needs = [(c["needs"][r] if c["needs"] else 0.0) * (c.get("per_host_max", 1) or c["replicas_max"])
                     for c, allowed in zip(self.components, self.allowed) if o in allowed]
            return min(machines[o]["capacity"][r], sum(needs))

        filled = {o: [useful(o, r) for r in resources] for o in self.offers}
        beats = lambda a, b: all(x >= y for x, y in zip(filled[a], filled[b])) and (
            (machines[a]["price"], a) < (machines[b]["price"], b)
        )
        self.offers = sorted(o for kind in best.values() for o in kind if not any(beats(a, o) for a in kind))


def fewest_instances(shop):
    """The least number of instances that need hosts of their own, by the counts alone."""
    rows = Rows()
    free = lambda c: 0.0 if c in shop.everywhere else 1.0
    count = [rows.whole(c["replicas_max"], free(i), c["replicas_min"]) for i, c in enumerate(shop.components)]
    counts(shop, rows, count, lambda c: present(rows, [(1, count[c])], shop.components[c]["replicas_max"]))
    return round(solve(rows, "highs", 60.0).value)


def present(rows, terms, most_instances):
    """A column that is 1 if and only if the sum of the terms is positive."""
    some = rows.whole()
    rows.add([*terms, (-most_instances, some)], high=0)
    rows.add([*terms, (-1, some)], low=0)
    return some


def counts(shop, rows, count, some):
    for terms, low, high in shop.linear:
        rows.add([(w, count[c]) for w, c in terms], low, high)
    for components, low, high in shop.alternatives:
        rows.add([(1, some(c)) for c in components], low, high)


def rows_of(problem):
    """The rows, and how many hosts they allow."""
    shop = Shop(problem)
    rows, machines = Rows(), problem["machines"]
    hosts = range(fewest_instances(shop) + SPARE)
    each = range(len(shop.components))
    buys = {(h, o): rows.whole(1, machines[o]["price"]) for h in hosts for o in shop.offers}
    per_host = [c.get("per_host_max", 1) or c["replicas_max"] for c in shop.components]
    runs = {(c, h): rows.whole(per_host[c]) for c in each for h in hosts}
    for h in hosts:
        bought = [(1, buys[h, o]) for o in shop.offers]
        rows.add(bought, high=1)
        if h:
            price = lambda host, sign: [(sign * machines[o]["price"], buys[host, o]) for o in shop.offers]
            rows.add(price(h - 1, 1) + price(h, -1), low=0)
        for c in each:
            rows.add([(1, runs[c, h])] + [(-per_host[c], buys[h, o]) for o in shop.offers if o in shop.allowed[c]], high=0)
        for r in range(len(problem["resources"])):
            needs = [(shop.components[c]["needs"][r], runs[c, h]) for c in each if shop.components[c]["needs"]]
            rows.add(needs + [(-machines[o]["capacity"][r], buys[h, o]) for o in shop.offers], high=0)
    count = []
    for c in each:
        count.append(rows.whole(shop.components[c]["replicas_max"], 0.0, shop.components[c]["replicas_min"]))
        rows.add([(1, runs[c, h]) for h in hosts] + [(-1, count[c])], 0, 0)
    counts(shop, rows, count, lambda c: present(rows, [(1, count[c])], shop.components[c]["replicas_max"]))
    on_hosts(shop, rows, hosts, runs, buys, per_host)
    Places(shop, rows, hosts, runs, buys, per_host).add_rules()
    return rows, len(hosts)


def on_hosts(shop, rows, hosts, runs, buys, per_host):
    """Adds the rules about instances that share a host."""
    known = {}

    def has(c, h):
        if per_host[c] == 1:
            return runs[c, h]
        if (c, h) not in known:
            known[c, h] = present(rows, [(1, runs[c, h])], per_host[c])
        return known[c, h]

    for h in hosts:
        for a, b in shop.splits:
            rows.add([(1, has(a, h)), (1, has(b, h))], high=1)
        for first, *rest in shop.together:
            for other in rest:
                rows.add([(1, has(first, h)), (-1, has(other, h))], 0, 0)
        for c in shop.everywhere:
            excuses = [d for d in range(len(shop.components)) if (min(c, d), max(c, d)) in shop.splits]
            here = [(1, has(d, h)) for d in (c, *excuses)]
            rows.add(here + [(-1, buys[h, o]) for o in shop.offers], low=0)


class Places:
    """Rules about the places of hosts: which instances are at which site, or in which class."""

    def __init__(self, shop, rows, hosts, runs, buys, per_host):
        self.shop, self.rows, self.hosts, self.runs, self.buys = shop, rows, hosts, runs, buys
        self.per_host = per_host
        self.inside = {}
        self.stands = {}

    def host_in(self, h, place_of, key):
        """For each place, a column that is 1 when the host is there."""
        if (h, key) not in self.stands:
            columns = {}
            for o in self.shop.offers:
                columns.setdefault(place_of(o), []).append((1, self.buys[h, o]))
            self.stands[h, key] = {}
            for place, terms in columns.items():
                self.stands[h, key][place] = self.rows.whole()
                self.rows.add([*terms, (-1, self.stands[h, key][place])], 0, 0)
        return self.stands[h, key]

    def instances_in(self, c, place_of, key):
        """For each place, a column for each host that counts the instances of a component there."""
        if (c, key) in self.inside:
            return self.inside[c, key]
        inside = {}
        possible = {place_of(o) for o in self.shop.offers if o in self.shop.allowed[c]} - {None}
        for h in self.hosts:
            stands = self.host_in(h, place_of, key)
            here = []
            for place in sorted(possible):
                column = self.rows.whole(self.per_host[c])
                self.rows.add([(1, column), (-self.per_host[c], stands[place])], high=0)
                inside.setdefault(place, []).append((1, column))
                here.append((1, column))
            self.rows.add(here + [(-1, self.runs[c, h])], 0, 0)
        self.inside[c, key] = inside
        return inside

    def flags_in(self, c, place_of, key):
        """For each place, a column that is 1 where the component has an instance there."""
        if (c, key, "flag") not in self.inside:
            flags = {}
            for place, terms in self.instances_in(c, place_of, key).items():
                flags[place] = self.rows.whole()
                for term in terms:
                    self.rows.add([term, (-self.per_host[c], flags[place])], high=0)
                self.rows.add([*terms, (-1, flags[place])], low=0)
            self.inside[c, key, "flag"] = flags
        return self.inside[c, key, "flag"]

    def add_rules(self):
        site_of = lambda o: self.shop.problem["machines"][o]["site"]
        tables = {}
        for a, b, limit, strict in sorted(set(self.shop.near)):
            if (limit, strict) not in tables:
                tables[limit, strict] = self.shop.near_sites(limit, strict)
            self.keep_near(self.flags_in(a, site_of, "site"), self.flags_in(b, site_of, "site"), tables[limit, strict])
        for number, (components, classes, most_inside, distinct) in enumerate(self.shop.spread):
            key = ("class", number)
            inside = {}
            for c in components:
                for place, terms in self.instances_in(c, lambda o: classes[o], key).items():
                    inside.setdefault(place, []).extend(terms)
            if most_inside is not None:
                for terms in inside.values():
                    self.rows.add(terms, high=most_inside)
            if distinct is not None:
                flags = [self.rows.whole() for _ in inside]
                for flag, terms in zip(flags, inside.values()):
                    self.rows.add([*terms, (-1, flag)], low=0)
                self.rows.add([(1, flag) for flag in flags], low=distinct)

    def keep_near(self, one, other, near):
        for flags, others in ((one, other), (other, one)):
            for place, flag in flags.items():
                far = [(1, column) for site, column in others.items() if site not in near[place]]
                if far:
                    self.rows.add([*far, (len(far), flag)], high=len(far))
