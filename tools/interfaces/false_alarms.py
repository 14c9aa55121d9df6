"""What schemathesis takes amiss by mistake."""

import json
import re

# The codes of its failures.
VIOLATION_ACCEPTED, VALID_REJECTED = "ST201", "ST202"
# What the description says of one image, and a form has no types: a text and a list with one file are both a part with bytes.
OF_ONE_IMAGE = re.compile("Invalid component: in body - violates `(type|format|contentEncoding|contentMediaType)`")


def refused_with(failure, response, codes):
    """Whether it calls a request valid that was refused with one of these codes of errors."""
    return failure.code == VALID_REJECTED and json.loads(response.content)["code"] in codes


def told_in_its_place(failure, response):
    """Whether it wants a request refused of which the answer says in its place which image is none: one bad image does not
    spoil its batch."""
    if failure.code != VIOLATION_ACCEPTED or not OF_ONE_IMAGE.search(failure.message):
        return False
    answer = json.loads(response.content).get("response", {})
    return isinstance(answer, dict) and any("error" in result for result in answer.get("results", []))
