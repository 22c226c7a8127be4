"""The pack must not import the settings, so it reads windows by itself: the two must agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.windows import daily_minutes, weekly_minutes
from settings.windows import windows_meet

_TIME = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
_DAY = st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"])


@given(_TIME, _TIME, _DAY, _TIME, _DAY, _TIME)
def test_policies_and_settings_agree_on_which_windows_meet(start, end, first, opens, last, closes):
    daily, weekly = f"{start}-{end}", f"{first}:{opens}-{last}:{closes}"
    if start != end and (first, opens) != (last, closes):
        assert bool(daily_minutes(daily) & weekly_minutes(weekly)) == windows_meet(daily, weekly)


@pytest.mark.parametrize(
    "window", ["3-4", "24:00-01:00", "03:00-04:00 ", "sun:03:00-sun:04:00", 5, None, ["03:00-04:00"]]
)
def test_what_is_no_daily_window_is_none(window):
    assert daily_minutes(window) is None


@pytest.mark.parametrize("window", ["03:00-04:00", "day:03:00-day:04:00", 5, None])
def test_what_is_no_weekly_window_is_none(window):
    assert weekly_minutes(window) is None
