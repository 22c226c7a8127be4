"""`python -m ops graph`: a stack as a picture, from a state or a preview; the same input makes the same picture.

Each component is a group with its resources in the order they are made. Within a group an arrow leads from a resource
to what needs it; between groups one arrow says that something in the one needs something in the other. What follows
from other arrows is not drawn, nor are providers.
"""

from __future__ import annotations

import heapq
import html
import itertools
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ops.errors import OpsError
from ops.options import with_json
from ops.plan.preview import STACK, Preview, Step, is_preview, name_of, parse, type_of

Edges = frozenset[tuple[str, str]]

# Fill and line, readable on white and on GitHub's dark page.
COLOURS = {
    "create": ("#d9f2dd", "#1a7f37"),
    "update": ("#fff3c4", "#9a6700"),
    "replace": ("#ffd8d3", "#cf222e"),
    "delete": ("#ffd8d3", "#cf222e"),
    "unprotect": ("#ffe2c2", "#bc4c00"),
}


@dataclass(frozen=True)
class Node:
    urn: str
    group: str
    """The URN of the component it stands under; empty for none."""
    change: str = ""
    """One of COLOURS; empty where nothing is done."""

    @property
    def type(self) -> str:
        return type_of(self.urn)

    @property
    def name(self) -> str:
        return name_of(self.urn)

    @property
    def kind(self) -> str:
        return self.type.rsplit(":", 1)[-1]


@dataclass(frozen=True)
class Graph:
    nodes: Sequence[Node]
    groups: Sequence[str]
    """URNs of the components that hold something, in the order they are made."""
    within: Edges = frozenset()
    """Between resources of one group, or of none."""
    between: Edges = frozenset()
    """Between groups, or a group and a resource of none."""

    def of(self, group: str) -> Sequence[Node]:
        return [each for each in self.nodes if each.group == group]

    def asdict(self) -> dict[str, Any]:
        return {
            "groups": list(self.groups),
            "nodes": [{"urn": each.urn, "group": each.group, "change": each.change} for each in self.nodes],
            "edges": sorted(map(list, self.within | self.between)),
        }


@dataclass(frozen=True)
class Resource:
    """What the picture needs of one resource, wherever it was read."""

    urn: str
    parent: str = ""
    needs: frozenset[str] = field(default_factory=frozenset)
    change: str = ""


def graph(resources: Iterable[Resource]) -> Graph:
    """The picture of these; what they need and is not among them is left out."""
    listed = {each.urn: each for each in resources}
    above = {each.parent for each in listed.values()}
    drawn = {urn: each for urn, each in listed.items() if not _hidden(urn, above)}
    group = {urn: _group(urn, listed) for urn in drawn}
    within, between = set(), set()
    for urn, each in drawn.items():
        for other in each.needs:
            if other not in drawn or other == urn:
                continue
            if group[other] == group[urn]:
                within.add((other, urn))
            else:
                between.add((group[other] or other, group[urn] or urn))
    # A component can need something as a whole: then all that stands under it does.
    for urn in listed.keys() & set(group.values()):
        between.update((group[each] or each, urn) for each in listed[urn].needs if each in drawn and group[each] != urn)
    order = _order(drawn, within)
    groups = _order({each for each in group.values() if each}, between)
    nodes = [Node(urn, group[urn], drawn[urn].change) for urn in order]
    return Graph(nodes, groups, _reduced(within), _reduced(between))


def _hidden(urn: str, above: Collection[str]) -> bool:
    """The stack, providers, and a component that others stand under: it is their group."""
    type_ = type_of(urn)
    return type_ == STACK or type_.startswith("pulumi:providers:") or urn in above


def _group(urn: str, listed: Mapping[str, Resource]) -> str:
    parent = listed[urn].parent
    return "" if not parent or type_of(parent) == STACK else parent


def _order(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> Sequence[str]:
    """What is needed first, and else by name: what goes in a circle comes last."""
    left = sorted(nodes, key=lambda urn: (name_of(urn), urn))
    place = {urn: number for number, urn in enumerate(left)}
    needed: list[set[int]] = [set() for _ in left]
    followers: list[list[int]] = [[] for _ in left]
    for first, second in edges:
        if first in place and second in place and first != second:
            needed[place[second]].add(place[first])
            followers[place[first]].append(place[second])
    ready = [number for number, its in enumerate(needed) if not its]  # sorted, so a heap
    found: dict[int, None] = {}
    for circle in (None, *range(len(left))):
        if circle is not None and circle not in found:
            ready.append(circle)
        while ready:
            number = heapq.heappop(ready)
            if number in found:
                continue
            found[number] = None
            for follower in followers[number]:
                needed[follower].discard(number)
                if not needed[follower]:
                    heapq.heappush(ready, follower)
    return [left[number] for number in found]


def _reduced(edges: Iterable[tuple[str, str]]) -> Edges:
    """Without those that a longer way says already."""
    following: dict[str, set[str]] = {}
    for first, second in edges:
        following.setdefault(first, set()).add(second)

    def reaches(start: str, goal: str) -> bool:
        seen, at = set(), [each for each in following.get(start, ()) if each != goal]
        while at:
            each = at.pop()
            if each == goal:
                return True
            if each not in seen:
                seen.add(each)
                at.extend(following.get(each, ()))
        return False

    return frozenset((first, second) for first, second in edges if not reaches(first, second))


# Reading


def of_preview(preview: Preview) -> list[Resource]:
    return [_of_state(each.urn, each.state, _change(each)) for each in preview.steps]


def of_state(exported: Mapping[str, Any]) -> list[Resource]:
    """What `pulumi stack export` wrote."""
    return [_of_state(each["urn"], each) for each in exported["deployment"].get("resources") or ()]


def _of_state(urn: str, state: Mapping[str, Any], change: str = "") -> Resource:
    needs = {*(state.get("dependencies") or ())}
    needs.update(each for its in (state.get("propertyDependencies") or {}).values() for each in its or ())
    parent = str(state.get("parent") or "")
    if not all(each.count("::") >= 3 for each in (urn, parent or urn)):
        raise ValueError(urn)
    return Resource(urn, parent, frozenset(needs), change)


def _change(step: Step) -> str:
    if not step.matters:
        return ""
    if step.replaces or step.deletes or step.creates:
        return "replace" if step.replaces else "delete" if step.deletes else "create"
    return "unprotect" if step.unprotects else "update" if step.op == "update" else ""


def _read(path: Path, what: str) -> list[Resource]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise OpsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return of_preview(parse(text, str(path))) if is_preview(text) else of_state(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OpsError(f"{path} is {what}: write it with `pulumi stack export` or `pulumi preview --json`") from None


def with_changes(state: Sequence[Resource], preview: Sequence[Resource]) -> list[Resource]:
    """The recorded resources and the new ones, coloured by what the preview does to them."""
    found = {each.urn: each for each in state}
    for each in preview:
        known = found.get(each.urn)
        needs = each.needs | (known.needs if known else frozenset())
        found[each.urn] = Resource(each.urn, each.parent or (known.parent if known else ""), needs, each.change)
    return list(found.values())


# Drawing


def mermaid(picture: Graph) -> str:
    ids = _ids([*picture.groups, *(each.urn for each in picture.nodes)])
    lines = ["flowchart LR"]

    def node(each: Node, indent: str) -> str:
        return f'{indent}{ids[each.urn]}["{_quoted(each.kind)}<br/>{_quoted(each.name)}"]'

    for group in picture.groups:
        lines.append(
            f'  subgraph {ids[group]}["{_quoted(type_of(group).rsplit(":", 1)[-1])} {_quoted(name_of(group))}"]'
        )
        lines += [node(each, "    ") for each in picture.of(group)]
        lines.append("  end")
    lines += [node(each, "  ") for each in picture.of("")]
    lines += [f"  {ids[first]} --> {ids[second]}" for first, second in sorted(picture.within)]
    lines += [f"  {ids[first]} ==> {ids[second]}" for first, second in sorted(picture.between)]
    for change, (fill, stroke) in COLOURS.items():
        changed = sorted(ids[each.urn] for each in picture.nodes if each.change == change)
        if changed:
            dashed = ",stroke-dasharray:4" if change == "delete" else ""
            lines.append(f"  classDef {change} fill:{fill},stroke:{stroke},color:#1f2328{dashed}")
            lines.append(f"  class {','.join(changed)} {change}")
    return "\n".join(lines) + "\n"


def _ids(urns: Iterable[str]) -> Mapping[str, str]:
    """Readable ones that stay when others come or go."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for urn in sorted(urns):
        base = re.sub(r"\W", "_", f"{type_of(urn).rsplit(':', 1)[-1]}_{name_of(urn)}")
        numbered = (f"{base}_{number}" for number in itertools.count(2))
        found[urn] = next(each for each in itertools.chain([base], numbered) if each not in taken)
        taken.add(found[urn])
    return found


def _printable(text: str) -> str:
    """On one line, and nothing that XML has no place for."""
    return "".join(each if each.isprintable() else " " for each in text)


def _quoted(text: str) -> str:
    return _printable(text).replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


_WIDTH, _GAP, _ROW, _HEAD, _CHARACTER = 330, 70, 22, 34, 6.6


def svg(picture: Graph) -> str:
    """A card for each component, in columns by what needs what; a row for each resource."""
    cards = [*picture.groups, *([""] if picture.of("") else [])]
    column = _columns(cards, picture)
    heights = [20.0] * (max(column.values(), default=0) + 1)
    place: dict[str, tuple[float, float, float]] = {}
    for card in cards:
        height = _HEAD + _ROW * len(picture.of(card)) + 8
        place[card] = (20 + column[card] * (_WIDTH + _GAP), heights[column[card]], height)
        heights[column[card]] += height + 30
    across, down = 20 + len(heights) * (_WIDTH + _GAP), max(heights) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across:g} {down:g}" width="{across:g}" '
        f'height="{down:g}" font-family="system-ui, sans-serif" font-size="12">',
        '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#57606a"/></marker></defs>',
        f'<rect width="{across:g}" height="{down:g}" fill="#ffffff"/>',
    ]
    parts += [_arrow(place[first], place[second]) for first, second in _card_edges(picture, place)]
    for card in cards:
        parts += _card(card, picture.of(card), place[card])
    return "\n".join([*parts, "</svg>"]) + "\n"


def _columns(cards: Sequence[str], picture: Graph) -> Mapping[str, int]:
    """The longest way there, in cards."""
    loose = {each.urn for each in picture.of("")}
    found: dict[str, int] = {}
    for card in cards:
        before = [
            found.get("" if first in loose else first, -1)
            for first, second in picture.between
            if ("" if second in loose else second) == card
        ]
        found[card] = max(before, default=-1) + 1
    return found


def _card_edges(picture: Graph, place: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    edges = {tuple(each if each in place else "" for each in edge) for edge in picture.between}
    return sorted((first, second) for first, second in edges if first != second)


def _arrow(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    x1, y1, x2, y2 = start[0] + _WIDTH, start[1] + _HEAD / 2, end[0], end[1] + _HEAD / 2
    bend = _GAP / 2
    return (
        f'<path d="M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}" fill="none" '
        'stroke="#57606a" stroke-width="1.5" marker-end="url(#end)"/>'
    )


def _card(card: str, nodes: Sequence[Node], place: tuple[float, float, float]) -> Iterable[str]:
    x, y, height = place
    title = f"{type_of(card).rsplit(':', 1)[-1]} {name_of(card)}" if card else "outside any component"
    yield (
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{height:g}" rx="6" fill="#f6f8fa" stroke="#8c959f"/>'
        f'<text x="{x + 10:g}" y="{y + 22:g}" font-weight="600" font-size="13" fill="#1f2328">{_cut(title)}</text>'
    )
    for number, each in enumerate(nodes):
        top = y + _HEAD + number * _ROW
        if each.change:
            fill, stroke = COLOURS[each.change]
            dashed = ' stroke-dasharray="4"' if each.change == "delete" else ""
            yield (
                f'<rect x="{x + 5:g}" y="{top:g}" width="{_WIDTH - 10}" height="{_ROW - 2}" rx="3" fill="{fill}" '
                f'stroke="{stroke}"{dashed}/>'
            )
        mark = f"{each.change} " if each.change else ""
        yield (
            f'<text x="{x + 12:g}" y="{top + 14:g}" fill="#1f2328">{_cut(f"{mark}{each.kind} {each.name}")}'
            f"<title>{html.escape(_printable(each.urn))}</title></text>"
        )


def _cut(text: str) -> str:
    text = _printable(text)
    longest = int((_WIDTH - 24) / _CHARACTER)
    return html.escape(text if len(text) <= longest else text[: longest - 1] + "…")


@click.command("graph")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--changes", type=click.Path(path_type=Path), help="A preview: colours what it would do to FILE's state.")
@click.option("--format", "form", type=click.Choice(["mermaid", "svg"]), default="mermaid", show_default=True)
@with_json
def command(file: Path, changes: Path | None, form: str, as_json: bool) -> None:
    """Draw FILE, which `pulumi stack export` or `pulumi preview --json` wrote, grouped by component."""
    found = _read(file, "no state and no preview")
    if changes:
        found = with_changes(found, _read(changes, "no preview"))
    picture = graph(found)
    if as_json:
        click.echo(json.dumps(picture.asdict(), indent=2))
    else:
        click.echo(mermaid(picture) if form == "mermaid" else svg(picture), nl=False)
