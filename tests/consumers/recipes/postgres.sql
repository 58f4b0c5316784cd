CREATE TABLE IF NOT EXISTS event (
  ce_id    text PRIMARY KEY,
  instance text NOT NULL,
  type     text NOT NULL,
  received timestamptz NOT NULL,
  body     bytea NOT NULL  -- jsonb would lose the bytes, and refuses half an emoji
);
