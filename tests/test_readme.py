import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_examples_run(block):
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_there_are_three_examples():
    assert len(BLOCKS) == 3
