"""Tells schemathesis what is right to refuse where it sends any bytes as images."""

import schemathesis

from false_alarms import refused_with, told_in_its_place

# That bytes are an image, or text the base64 of one, is more than a description has words for. And the generator draws the
# same short Idempotency-Key for two requests.
RIGHTLY_REFUSED = {"no_image_classified", "unsupported_media_type", "idempotency_key_reused"}


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Keeps what is a finding."""
    return not refused_with(failure, response, RIGHTLY_REFUSED) and not told_in_its_place(failure, response)
