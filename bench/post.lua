-- wrk: posts the file BODY as a prediction request with the key X_API_KEY; prints one line of figures.
local body = assert(io.open(os.getenv("BODY"), "rb")):read("*a")
wrk.method, wrk.body = "POST", body
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-API-Key"] = os.getenv("X_API_KEY")

local threads = {}
function setup(thread) threads[#threads + 1] = thread end
function init() failed = 0 end
function response(status) if status ~= 200 then failed = failed + 1 end end
function done(summary, latency)
  local failed = 0
  for _, thread in ipairs(threads) do failed = failed + thread:get("failed") end
  local errors = summary.errors
  print(string.format(
    "FIGURES {\"requests\": %d, \"seconds\": %.4f, \"failed\": %d, \"p50_ms\": %.3f, \"p99_ms\": %.3f}",
    summary.requests, summary.duration / 1e6,
    failed + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
