"""Sends what krkn sends at the end of a run, with its own library: telemetry, alerts, and an archive in
parts. Arguments: URL, user, password, group, run, number of parts, bytes of a part. Prints the SHA-256
of the whole archive."""

import base64
import hashlib
import os
import sys
import tempfile

from krkn_lib.models.krkn import ChaosRunAlert, ChaosRunAlertSummary
from krkn_lib.models.telemetry import ChaosRunTelemetry, ScenarioTelemetry
from krkn_lib.telemetry.k8s import KrknTelemetryKubernetes
from krkn_lib.utils.safe_logger import SafeLogger

url, user, password, group, run, parts, size = sys.argv[1:]
config = {
    "enabled": True,
    "api_url": url,
    "username": user,
    "password": password,
    "telemetry_group": group,
    "max_retries": 20,
    "backup_threads": 5,
    "prometheus_backup": True,
    "events_backup": True,
}
client = KrknTelemetryKubernetes(SafeLogger(), None, config, run)
folder = tempfile.mkdtemp()

scenario = ScenarioTelemetry()
path = os.path.join(folder, "scenario.yaml")
with open(path, "w", encoding="utf-8") as file:
    file.write("config:\n  runtime: 5\n  kubeconfig: secret\n")
client.set_parameters_base64(scenario, path)
scenario.scenario = "pods"
scenario.scenario_type = "pod_disruption_scenarios"
scenario.exit_status = 0
scenario.start_timestamp = 1700000000.5
scenario.end_timestamp = 1700000060.5
telemetry = ChaosRunTelemetry()
telemetry.scenarios = [scenario]
telemetry.run_uuid = run
telemetry.tag = "nightly"
telemetry.job_status = True
client.send_telemetry(config, run, telemetry)

alerts = ChaosRunAlertSummary()
alerts.run_id = run
alerts.scenario = "pods"
alerts.chaos_alerts.append(ChaosRunAlert("KubePodCrashLooping", "firing", "default", "critical"))
client.put_critical_alerts(run, config, alerts)

whole = hashlib.sha256()
volumes = []
for number in range(int(parts)):
    content = os.urandom(int(size))
    whole.update(content)
    path = os.path.join(folder, f"{run}-{number:02d}.tar.b64")
    with open(path, "wb") as file:
        file.write(base64.b64encode(content))
    volumes.append((number, path))
client.put_prometheus_data(config, volumes, run)
left = [name for name in os.listdir(folder) if name.endswith(".tar")]
assert not left, f"not sent: {left}"
print(whole.hexdigest())
