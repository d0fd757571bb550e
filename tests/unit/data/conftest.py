"""What several tests of the data stage read."""

import json

import pytest

ARTICLES = {"264": "第264条 盗窃", "67": "第67条 自首"}


@pytest.fixture
def articles(tmp_path):
    """Path of a statute of two articles."""
    path = tmp_path / "articles.json"
    path.write_text(json.dumps(ARTICLES), encoding="utf-8")
    return str(path)
