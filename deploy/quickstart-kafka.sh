# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2317 # shared with deploy/quickstart, which sources this
# Apache Kafka for deploy/quickstart, which sources this.

broker_name='Apache Kafka'
broker_build='takes about four minutes and 1 GB of disk'
broker_from=9092
broker_made='six topics'
broker_reader="Kafka's own client"
jars=tests/.cache/kafka/lib
kafka=(java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx512m -cp "$jars/*")
broker_command=("${kafka[@]}" kafka.Kafka)
topics=(greenapi.incoming greenapi.outgoing greenapi.state greenapi.device greenapi.other greenapi.dead-letter)

broker_fetch() {
  tests/brokers/kafka/fetch
  broker_name="Apache Kafka $(sed -n 's|.*kafka_2.13-\(.*\)\.jar|\1|p' tests/brokers/kafka/jars.sha256)"
}

broker_address() { printf '127.0.0.1:%d\n' "$broker_port"; }

broker_configure() {
  local properties=$state/kafka.properties
  cat >"$properties" <<TEXT
# Written by deploy/quickstart at each start: one broker that is its own controller.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$extra_port
listeners=PLAINTEXT://127.0.0.1:$broker_port,CONTROLLER://127.0.0.1:$extra_port
advertised.listeners=PLAINTEXT://127.0.0.1:$broker_port
controller.listener.names=CONTROLLER
log.dirs=$state/kafka
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# On disk before it is acknowledged: this broker has no replica.
log.flush.interval.messages=1
TEXT
  printf 'bootstrap.servers=%s\n' "$server" >"$state/reader.properties"
  "${kafka[@]}" kafka.tools.StorageTool format --ignore-formatted -t AAAAAAAAAAAAAAAAAAAAAQ -c "$properties" \
    >"$state/format.log" 2>&1 || fail_with_log 'Kafka cannot use its directory' "$state/format.log"
  broker_command+=("$properties")
}

broker_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$broker_port"); }

broker_section() { printf '[kafka]\nbootstrap_servers = ["%s"]\n' "$server"; }

# The reader of the tests, with Kafka's own client. Its start takes seconds.
reader=("${kafka[@]}" tests/consumers/KafkaRead.java)

# What was stored by an earlier start has other bytes.
broker_remember() { :; }

broker_expect() {
  "${reader[@]}" "$state/reader.properties" "${topics[@]}" 2>"$state/reader.log" |
    "$python" deploy/quickstart.py expect "$@"
}

broker_now() { date +%s%3N; }

broker_follow() { # milliseconds since 1970
  "${leash[@]}" "${reader[@]}" "$state/reader.properties" --since "$1" "${topics[@]}" |
    "${leash[@]}" "$python" deploy/quickstart.py show
}

broker_hint() { printf "any Kafka client, at %s\n" "$server"; }
