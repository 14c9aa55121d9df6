"""The application that both FastAPI peers are, around any function from a batch to scores."""
import os

import contract
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Image(BaseModel):
    image_id: int
    img_base64: str


class Request(BaseModel):
    images: list[Image]


def serve(score):
    app = FastAPI()

    # Not `async`: FastAPI then calls it on a thread pool, so that requests overlap where Python lets go
    # of its lock, in OpenCV and TensorFlow.
    @app.post(contract.PATH)
    def predict(request: Request):
        batch = contract.batch_of(image.img_base64 for image in request.images)
        return contract.answer([image.image_id for image in request.images], score(batch))

    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", access_log=False)
