CREATE TABLE greenapi_queue (body String) ENGINE = Kafka SETTINGS
  kafka_broker_list = '127.0.0.1:9092',
  kafka_topic_list = 'greenapi.incoming,greenapi.outgoing,greenapi.state,greenapi.device,greenapi.other',
  kafka_group_name = 'clickhouse',
  kafka_format = 'RawBLOB';  -- the body byte for byte

CREATE TABLE greenapi_event (ce_id String, instance String, type String, received DateTime64(3), body String)
  ENGINE = ReplacingMergeTree ORDER BY (instance, ce_id);  -- a repeat replaces itself; read with FINAL

CREATE MATERIALIZED VIEW greenapi_into TO greenapi_event AS SELECT
    _headers.value[indexOf(_headers.name, 'ce_id')] AS ce_id,
    _headers.value[indexOf(_headers.name, 'ce_instance')] AS instance,
    _headers.value[indexOf(_headers.name, 'ce_type')] AS type,
    assumeNotNull(_timestamp_ms) AS received,
    body
  FROM greenapi_queue WHERE ce_id != '';
