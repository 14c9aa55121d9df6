"""FastAPI around `model.predict`: what is written first, and what this service replaces."""
import contract
import fastapi_app

model = contract.keras_model()
fastapi_app.serve(lambda batch: model.predict(batch, verbose=0))
