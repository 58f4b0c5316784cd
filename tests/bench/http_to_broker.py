"""mq-bridge as it is meant to be used: a route from HTTP to a broker. `http_to_broker.py ADDRESS nats|kafka SERVER`

It answers 202 once the broker has acknowledged. It looks at no body and adds no header; one subject or topic takes all.
"""

import sys

from mq_bridge import Route

address, broker, server = sys.argv[1:]
OUTPUTS = {
    "nats": {"nats": {"url": server, "stream": "GREENAPI", "subject": "greenapi.incoming.mq.bridge"}},
    "kafka": {"kafka": {"url": server, "topic": "greenapi.incoming"}},
}
Route.from_config({
    "input": {"http": {"url": address, "path": "/green-api/webhook/"}},
    "output": OUTPUTS[broker],
    "concurrency": 16,
    "batch_size": 128,
}).run()
