"""BentoML around a frozen graph: `bentoml serve bentoml_graph:Classifier`.

Its adaptive batching wants the same list in and out and cannot give the contract's answer, so requests run
side by side on a thread for each core instead.
"""
import os

import bentoml
import contract


@bentoml.service(threads=os.cpu_count(), traffic={"timeout": 120})
class Classifier:
    def __init__(self):
        self.score = contract.frozen_function()

    @bentoml.api(route=contract.PATH)
    def predict(self, images: list[dict]) -> dict:
        batch = contract.batch_of(image["img_base64"] for image in images)
        return contract.answer([image["image_id"] for image in images], self.score(batch))
