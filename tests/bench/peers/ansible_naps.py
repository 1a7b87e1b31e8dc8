#!/usr/bin/env python3
"""Lets Ansible and rhizo carry out the actions of one assembly, one after the other in one run.

The actions only take their time. Ansible does them twice: as a playbook of one task after the other, which is how
Kolla-Ansible deploys, and as its asynchronous jobs: each is started as soon as everything it comes after has been
waited for, which is as close to the order of the assembly as a list of tasks comes. Overhead is what was measured
beyond the sum, or the critical path, of the times as planned for Ansible; rhizo states its own.

  ansible_naps.py BENCH ANSIBLE_PLAYBOOK ASSEMBLY [SCALE]

BENCH is `rhizo-bench`, ANSIBLE_PLAYBOOK the program of that name (`pip install ansible-core`). Prints JSON.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time


def bench(program, assembly, scale, *more):
    """One call of rhizo-bench."""
    command = [program, "deploy", "--assembly", assembly, "--scale", str(scale), "--json", *more]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def in_order(actions):
    """The actions by their earliest beginning, so that none comes before what it waits for."""
    known = {action["name"]: action for action in actions}
    ends = {}

    def end(name):
        if name not in ends:
            action = known[name]
            ends[name] = begin(name) + action["seconds"]
        return ends[name]

    def begin(name):
        return max((end(before) for before in known[name]["after"]), default=0.0)

    return sorted(actions, key=lambda action: (begin(action["name"]), end(action["name"])))


def one_by_one(actions):
    """A task for each action."""
    return [
        {"name": action["name"], "ansible.builtin.command": f"sleep {action['seconds']:.6f}"}
        for action in in_order(actions)
    ]


def side_by_side(actions):
    """A job for each action, begun when what it comes after has been waited for."""
    tasks, waited = [], set()

    def variable(name):
        return "job_" + "".join(c if c.isalnum() else "_" for c in name)

    def wait_for(name):
        if name in waited:
            return
        waited.add(name)
        tasks.append(
            {
                "name": f"wait for {name}",
                "ansible.builtin.async_status": {"jid": "{{ %s.ansible_job_id }}" % variable(name)},
                "register": "waited",
                "until": "waited.finished",
                "retries": 100_000,
                # Ansible takes fractions of a second here.
                "delay": 0.01,
            }
        )

    ordered = in_order(actions)
    for action in ordered:
        for before in action["after"]:
            wait_for(before)
        tasks.append(
            {
                "name": action["name"],
                "ansible.builtin.command": f"sleep {action['seconds']:.6f}",
                "async": 3_600,
                "poll": 0,
                "register": variable(action["name"]),
            }
        )
    for action in ordered:
        wait_for(action["name"])
    return tasks


def play(program, tasks, folder):
    """Seconds of one run of a playbook on this machine."""
    book = pathlib.Path(folder) / "book.yml"
    python = pathlib.Path(program).with_name("python")
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        # The interpreter that Ansible itself runs in: what it would discover may be something else.
        "vars": {"ansible_python_interpreter": str(python if python.exists() else sys.executable)},
        "tasks": tasks,
    }
    # JSON is YAML.
    book.write_text(json.dumps([play]))
    environment = dict(os.environ, ANSIBLE_LOCALHOST_WARNING="false", ANSIBLE_HOME=folder, ANSIBLE_ASYNC_DIR=folder)
    begun = time.monotonic()
    ran = subprocess.run([program, "-i", "localhost,", str(book)], env=environment, capture_output=True, text=True)
    seconds = time.monotonic() - begun
    if ran.returncode != 0:
        sys.exit(f"failed to run the playbook: {ran.stdout}{ran.stderr}")
    return seconds


def main():
    """Runs the three and prints their figures."""
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    program, playbook, assembly = sys.argv[1:4]
    scale = float(sys.argv[4]) if len(sys.argv) == 5 else 0.01
    plan = bench(program, assembly, scale, "--order")
    actions, path = plan["actions"], plan["critical_path"]
    total = sum(action["seconds"] for action in actions)
    with tempfile.TemporaryDirectory() as folder:
        sequential = play(playbook, one_by_one(actions), folder)
        jobs = play(playbook, side_by_side(actions), folder)
    ours = bench(program, assembly, scale)["deploy"]
    figures = {
        "actions": len(actions),
        "scale": scale,
        "ansible_one_by_one": {"total": sequential, "base": total, "overhead": sequential - total},
        "ansible_side_by_side": {"total": jobs, "base": path, "overhead": jobs - path},
        "rhizo": {"total": ours["total"], "base": ours["critical_path"], "overhead": ours["overhead"]},
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
