import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_examples_run_as_they_stand(block):
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_there_is_an_example_of_each_way_of_use():
    assert len(BLOCKS) == 3
