"""FastAPI around a frozen graph: what somebody who knows TensorFlow makes of it."""
import contract
import fastapi_app

fastapi_app.serve(contract.frozen_function())
