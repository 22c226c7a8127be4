"""Options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ops.stack import STORES, Stack

pass_stack = click.make_pass_decorator(Stack)

with_json: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="The whole answer, for a program."
)
store_argument: Callable[[Any], Any] = click.argument("store", type=click.Choice(STORES))
