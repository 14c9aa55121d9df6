"""LitServe around a frozen graph, with its dynamic batching of requests."""
import os

import contract
import litserve
import numpy as np


class Classifier(litserve.LitAPI):
    def setup(self, device):
        self.score = contract.frozen_function()

    def decode_request(self, request):
        images = request["images"]
        return [image["image_id"] for image in images], contract.batch_of(i["img_base64"] for i in images)

    # Requests hold several images, so what LitServe calls a batch is a list of arrays here.
    def batch(self, requests):
        return requests

    def predict(self, requests):
        scores = self.score(np.concatenate([pixels for _, pixels in requests]))
        ends = np.cumsum([len(pixels) for _, pixels in requests])[:-1]
        return [(ids, part) for (ids, _), part in zip(requests, np.split(scores, ends))]

    def unbatch(self, results):
        return results

    def encode_response(self, result):
        return contract.answer(*result)


if __name__ == "__main__":
    server = litserve.LitServer(
        Classifier(max_batch_size=8, batch_timeout=0.005, api_path=contract.PATH), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", access_log=False,
               generate_client_file=False)
