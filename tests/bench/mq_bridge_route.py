"""mq-bridge from HTTP to a broker: mq_bridge_route.py nats|kafka ADDRESS SERVER"""

import sys

from mq_bridge import Route

_, broker, address, server = sys.argv
OUTPUTS = {
    "nats": {"nats": {"url": server, "stream": "GREENAPI", "subject": "greenapi.incoming.mq-bridge"}},
    "kafka": {"kafka": {"url": server, "topic": "greenapi.incoming", "create_topic": False}},
}
Route.from_config(
    {"input": {"http": {"url": address, "concurrency_limit": 1024, "internal_buffer_size": 1024}}, "output": OUTPUTS[broker]}
).run()
