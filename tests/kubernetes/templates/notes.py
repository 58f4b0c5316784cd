"""What helm prints after an install."""

import pathlib
import shutil
import tempfile

from matrix import INGRESS, TLS
from render import CHART, NATS, merged, objects, only

WARNING = "WARNING: without TLS"
BALANCED = merged(NATS, {"service": {"type": "LoadBalancer"}})


def notes(values):
    """NOTES.txt, which `helm template` leaves out: here it is the text of an object."""
    with tempfile.TemporaryDirectory() as folder:
        chart = pathlib.Path(folder) / "greenapi-bridge"
        shutil.copytree(CHART, chart)
        text = (chart / "templates/NOTES.txt").read_text()
        (chart / "templates/_notes.tpl").write_text(f'{{{{- define "notes" -}}}}\n{text}\n{{{{- end -}}}}')
        (chart / "templates/notes.yaml").write_text(
            'kind: Notes\nmetadata: { name: notes }\ntext: |\n  {{- include "notes" . | nindent 2 }}\n'
        )
        return only(objects(values, chart=chart), "Notes")["text"]


def check_notes():
    """A webhook that can be reached without TLS is warned of, with the remedy; another one is not."""
    for values, remedy in (
        (merged(NATS, INGRESS, {"ingress": {"tlsSecret": ""}}), "Set ingress.tlsSecret"),
        (BALANCED, "Set files.http.tls"),
        (merged(NATS, {"service": {"type": "NodePort"}}), "Set files.http.tls"),
    ):
        said = notes(values)
        assert WARNING in said and remedy in said, said
    for values in (NATS, merged(NATS, INGRESS), merged(BALANCED, {"files": {"http": {"tls": TLS}}})):
        assert WARNING not in notes(values), notes(values)
    return "NOTES.txt warns of a webhook without TLS"
