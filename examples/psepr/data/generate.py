#!/usr/bin/env python3
"""Makes the offers and the attributes of the PsEPR example, always the same.

    python3 generate.py            writes offers-*.csv and attributes-*.csv beside this file
    python3 generate.py --check    exits with 1 when they differ from what it would write

What is real and what is synthetic is said in README.md, column by column. There is no random source: each
synthetic value is drawn from a hash of a fixed seed and of what it belongs to, so that adding a region or a
snapshot changes no other value.
"""

import csv
import hashlib
import math
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
SEED = "psepr-1"

# One machine class per cloud: 2 vCPU, 8 GiB.
TYPES = {"aws": "m5.large", "azure": "Standard_D2s_v3", "gcp": "e2-standard-2"}
MEMORY_BYTES = 8 * 1024**3
# GCP's price in its cheapest region: synthetic, since no GCP price list is at hand.
GCP_BASE_PRICE = 0.07
# A provider sells so many of these machines in one region: as on PlanetLab, a site can be had once.
AVAILABLE = 1

# A quarter of the world in four snapshots an hour, the first when the application starts.
SNAPSHOT_TIMES_S = [0, 900, 1800, 2700, 3600]

QUARTERS = [(-90, "180w-90w"), (0, "90w-0"), (90, "0-90e"), (181, "90e-180e")]

# region: (longitude in degrees, Azure region whose price level stands for it)
REGIONS = {
    "aws:af-south-1": (18.4, "southafricanorth"),
    "aws:ap-east-1": (114.2, "eastasia"),
    "aws:ap-northeast-1": (139.7, "japaneast"),
    "aws:ap-northeast-2": (127.0, "koreacentral"),
    "aws:ap-northeast-3": (135.5, "japaneast"),
    "aws:ap-south-1": (72.9, "centralindia"),
    "aws:ap-southeast-1": (103.8, "southeastasia"),
    "aws:ap-southeast-2": (151.2, "australiaeast"),
    "aws:ap-southeast-3": (106.8, "indonesiacentral"),
    "aws:ca-central-1": (-73.6, "canadaeast"),
    "aws:eu-central-1": (8.7, "germanywestcentral"),
    "aws:eu-north-1": (18.1, "swedencentral"),
    "aws:eu-south-1": (9.2, "italynorth"),
    "aws:eu-west-1": (-6.3, "northeurope"),
    "aws:eu-west-2": (-0.1, "uksouth"),
    "aws:me-south-1": (50.6, "uaenorth"),
    "aws:sa-east-1": (-46.6, "brazilsouth"),
    "aws:us-east-1": (-77.5, "eastus"),
    "aws:us-east-2": (-83.0, "eastus"),
    "aws:us-west-1": (-121.9, "westus"),
    "aws:us-west-2": (-119.7, "westus2"),
    "azure:australiaeast": (151.2, "australiaeast"),
    "azure:brazilsouth": (-46.6, "brazilsouth"),
    "azure:canadacentral": (-79.4, "canadacentral"),
    "azure:centralindia": (73.9, "centralindia"),
    "azure:eastasia": (114.2, "eastasia"),
    "azure:eastus": (-79.8, "eastus"),
    "azure:francecentral": (2.4, "francecentral"),
    "azure:germanywestcentral": (8.7, "germanywestcentral"),
    "azure:japaneast": (139.8, "japaneast"),
    "azure:koreacentral": (127.0, "koreacentral"),
    "azure:northcentralus": (-87.6, "northcentralus"),
    "azure:northeurope": (-6.3, "northeurope"),
    "azure:norwayeast": (10.7, "norwayeast"),
    "azure:southafricanorth": (28.2, "southafricanorth"),
    "azure:swedencentral": (17.1, "swedencentral"),
    "azure:switzerlandnorth": (8.6, "switzerlandnorth"),
    "azure:uaenorth": (55.3, "uaenorth"),
    "azure:uksouth": (-0.8, "uksouth"),
    "azure:westeurope": (4.9, "westeurope"),
    "azure:westus": (-122.4, "westus"),
    "azure:westus3": (-112.1, "westus3"),
    "gcp:asia-east1-a": (120.5, "eastasia"),
    "gcp:asia-east2-a": (114.2, "eastasia"),
    "gcp:asia-northeast1-a": (139.7, "japaneast"),
    "gcp:asia-northeast2-a": (135.5, "japaneast"),
    "gcp:asia-northeast3-a": (127.0, "koreacentral"),
    "gcp:asia-south1-a": (72.9, "centralindia"),
    "gcp:asia-south2-a": (77.2, "southindia"),
    "gcp:asia-southeast1-a": (103.7, "southeastasia"),
    "gcp:asia-southeast2-a": (106.8, "indonesiacentral"),
    "gcp:australia-southeast1-a": (151.2, "australiaeast"),
    "gcp:australia-southeast2-a": (145.0, "australiasoutheast"),
    "gcp:europe-central2-a": (21.0, "polandcentral"),
    "gcp:europe-north1-a": (27.2, "swedencentral"),
    "gcp:europe-west1-b": (3.8, "westeurope"),
    "gcp:europe-west2-a": (-0.1, "uksouth"),
    "gcp:europe-west3-a": (8.7, "germanywestcentral"),
    "gcp:europe-west4-a": (6.8, "westeurope"),
    "gcp:europe-west6-a": (8.5, "switzerlandnorth"),
    "gcp:northamerica-northeast1-a": (-73.6, "canadaeast"),
    "gcp:northamerica-northeast2-a": (-79.4, "canadacentral"),
    "gcp:southamerica-east1-a": (-46.6, "brazilsouth"),
    "gcp:southamerica-west1-a": (-70.7, "brazilsouth"),
    "gcp:us-central1-a": (-95.9, "centralus"),
    "gcp:us-east1-b": (-80.0, "eastus"),
    "gcp:us-east4-a": (-77.5, "eastus"),
    "gcp:us-west1-a": (-121.2, "westus2"),
    "gcp:us-west4-a": (-115.1, "westus3"),
}


def uniform(*what):
    """A number in [0, 1) that depends on nothing but the seed and `what`."""
    text = "/".join([SEED, *map(str, what)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def bell(*what):
    """A number around 0 with a standard deviation of about 1."""
    return sum(uniform(*what, i) for i in range(12)) - 6


def quarter(longitude):
    return next(name for limit, name in QUARTERS if longitude < limit)


def read_prices():
    with open(HERE / "prices_extract.csv", newline="", encoding="utf-8") as lines:
        return {(row["cloud"], row["region"]): float(row["usd_per_hour"]) for row in csv.DictReader(lines)}


def price(prices, region, twin):
    """The hourly price: real for Azure and for AWS us-east-1, by Azure's price level elsewhere."""
    cloud, name = region.split(":")
    if (cloud, name) in prices:
        return prices[cloud, name]
    level = prices["azure", twin] / prices["azure", "eastus"]
    base = prices["aws", "us-east-1"] if cloud == "aws" else GCP_BASE_PRICE
    return base * level


def offers(cloud, prices):
    yield ["name", "region", "price_per_hour", "available", "cap.cpu", "cap.memory", "attr.quarter", "attr.cpu_ghz"]
    for region, (longitude, twin) in REGIONS.items():
        if not region.startswith(cloud + ":"):
            continue
        ghz = 2.2 + round(uniform(region, "ghz") * 7) * 0.2
        name = f"{TYPES[cloud]}.{region.split(':')[1]}".lower().replace("_", "-")
        yield [name, region, f"{price(prices, region, twin):.6f}", AVAILABLE, 2, MEMORY_BYTES, quarter(longitude),
               f"{ghz:.1f}"]


def attributes(cloud):
    yield ["at_s", "region", "attr.load5", "attr.live_slices", "attr.cpu_free"]
    for time_s in SNAPSHOT_TIMES_S:
        for region in REGIONS:
            if not region.startswith(cloud + ":"):
                continue
            # A region is as busy as its own level says, more or less at each moment.
            level = bell(region, "level")
            busy = level + 0.6 * bell(region, time_s)
            load5 = min(20.0, 3.0 * math.exp(0.6 * busy))
            slices = min(20, max(0, round(5 + 2.5 * busy + 1.5 * bell(region, "slices", time_s))))
            cpu_free = min(0.99, max(0.05, 0.72 - 0.17 * busy))
            yield [time_s, region, f"{load5:.2f}", slices, f"{cpu_free:.2f}"]


def written(rows):
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def main():
    prices = read_prices()
    files = {}
    for cloud in TYPES:
        files[f"offers-{cloud}.csv"] = written(offers(cloud, prices))
        files[f"attributes-{cloud}.csv"] = written(attributes(cloud))
    if sys.argv[1:] == ["--check"]:
        differing = [name for name, text in files.items() if (HERE / name).read_text(encoding="utf-8") != text]
        for name in differing:
            print(f"{name} differs from what generate.py makes", file=sys.stderr)
        return 1 if differing else 0
    for name, text in files.items():
        (HERE / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
