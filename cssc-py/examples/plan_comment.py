"""Plan a policy, and write what a reviewer of a pull request wants to know as Markdown.

    plan_comment.py policy.json tags.json [earlier-policy.json] | gh pr comment --body-file -

`tags.json` is an inventory, or the name of a registry such as `localhost:5000`. With the earlier
policy, what its plan had and the new one has not, and the other way round, comes first. Ends with
1 when the policy is invalid or selects more than a workflow may run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cssc


def plan(policy: str, tags: str) -> cssc.Plan:
    if Path(tags).is_file():
        return cssc.plan(Path(policy), json.loads(Path(tags).read_text("utf-8")))
    return cssc.Client(tags).plan(Path(policy))


def names(plan: cssc.Plan) -> set[str]:
    return {f"{image.repository}:{image.tag}" for image in plan}


def section(title: str, lines: list[str]) -> str:
    listed = "\n".join(f"- {line}" for line in lines)
    return f"\n<details><summary>{title}: {len(lines)}</summary>\n\n{listed}\n\n</details>\n"


def main(policy: str, tags: str, earlier: str | None = None) -> int:
    try:
        new = plan(policy, tags)
    except cssc.PolicyError as error:
        print("### The policy cannot be used\n")
        for found in error.diagnostics:
            print(f"- line {found.line}: {found.message} (`{found.code}`)")
        return 1
    print(f"### The policy selects {len(new)} images\n")
    if new.limit_exceeded:
        print(f"**That is more than the {new.limit} that a workflow may run.**\n")
    if earlier:
        old = names(plan(earlier, tags))
        for title, changed in [("added", names(new) - old), ("no longer patched", old - names(new))]:
            if changed:
                print(f"- {title}: " + ", ".join(f"`{name}`" for name in sorted(changed)))
    print(section("Images", [f"`{i.repository}:{i.scan_tag}` → `{i.patch_tag}`" for i in new]))
    if new.skipped:
        print(section("Skipped", [f"`{s.repository}:{s.tag}`: {s.reason}" for s in new.skipped]))
    if new.not_found:
        print(section("Not found", [f"`{n.repository}:{n.tag}`" for n in new.not_found]))
    if new.unavailable:
        print(section("Cannot be read", [f"`{u.repository}`: {u.reason}" for u in new.unavailable]))
    return 1 if new.limit_exceeded else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
