"""/metrics as Prometheus's own tool reads them."""

import shutil
import subprocess
import urllib.error
import urllib.request

import service
from findings import Finding, expect, say

FETCHED = service.ROOT / ".cache" / "interfaces" / "prometheus" / "usr" / "bin" / "promtool"


def check(options, folder):
    promtool = shutil.which("promtool") or fetch()
    one, many = folder / "one", folder / "fleet"
    one.mkdir()
    many.mkdir()
    with service.one_process(options.programs, one) as server:
        use(server)
        lint(promtool, "classifier serve", server.url)
    with service.fleet(options.programs, many) as server:
        use(server)
        lint(promtool, "classifier-api", server.url)
        lint(promtool, "classifier-worker", server.worker_metrics)


def use(server):
    """Makes series with labels: an image that is classified, one that is not, and a wrong key."""
    image = next(iter(sorted(service.IMAGES.glob("*.png")))).read_bytes()
    for key, body in [(server.key, image), (server.key, image[:40]), ("wrong", image)]:
        request = urllib.request.Request(f"{server.url}/classifier/predictions", data=body,
                                         headers={"X-API-Key": key, "Content-Type": "image/png"})
        try:
            urllib.request.urlopen(request, timeout=60).close()
        except urllib.error.HTTPError as error:
            expect(error.code in (401, 422), f"a prediction answered {error.code}")


def lint(promtool, name, url):
    """Gives the text to promtool, which is silent where it likes it."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        kind, text = answer.headers["Content-Type"], answer.read()
    expect(kind == "text/plain; version=0.0.4; charset=utf-8", f"metrics of {name} are of type {kind}")
    said = subprocess.run([promtool, "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    series = sum(1 for line in text.splitlines() if line and not line.startswith(b"#"))
    words = said.stdout.decode().strip()
    say(f"promtool, {name}: {series} series, {words or 'nothing said'}")
    expect(said.returncode == 0 and not words, f"promtool complains of the metrics of {name}")


def fetch():
    """The program of Debian's package `prometheus`, without installing a service."""
    if not FETCHED.is_file():
        folder = FETCHED.parents[2]
        folder.mkdir(parents=True, exist_ok=True)
        say("promtool is not installed, fetching Debian's package `prometheus`")
        try:
            words = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "prometheus"]
            subprocess.run(words, cwd=folder, check=True)
            subprocess.run(["dpkg", "-x", next(folder.glob("prometheus_*.deb")), folder], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Finding(f"there is no promtool, and it cannot be fetched ({error}): install it") from error
    return FETCHED
