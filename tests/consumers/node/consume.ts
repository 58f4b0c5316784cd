/** Consumes the events of GREEN-API from Kafka or JetStream.  Usage: node consume.js kafka|nats ADDRESS GROUP LEDGER */
import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, readFileSync, statSync } from 'node:fs'
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, nanos } from '@nats-io/transport-node'
import { Consumer, stringDeserializer } from '@platformatic/kafka'
import { CloudEvent } from 'cloudevents'
import { Convert } from './greenapi.js' // quicktype makes it from what `greenapi-bridge schema` prints

const CLASSES = ['incoming', 'outgoing', 'state', 'device', 'other']
const PARSERS: Record<string, (json: string) => object> = {
  'com.green-api.incomingMessageReceived': Convert.toIncomingMessageReceived,
  'com.green-api.incomingMessageStatus': Convert.toIncomingMessageStatus,
  'com.green-api.incomingCall': Convert.toIncomingCall,
  'com.green-api.incomingBlock': Convert.toIncomingBlock,
  'com.green-api.outgoingMessageReceived': Convert.toOutgoingMessageReceived,
  'com.green-api.outgoingAPIMessageReceived': Convert.toOutgoingAPIMessageReceived,
  'com.green-api.outgoingMessageStatus': Convert.toOutgoingMessageStatus,
  'com.green-api.outgoingCall': Convert.toOutgoingCall,
  'com.green-api.stateInstanceChanged': Convert.toStateInstanceChanged,
  'com.green-api.statusInstanceChanged': Convert.toStatusInstanceChanged,
  'com.green-api.quotaExceeded': Convert.toQuotaExceeded,
  'com.green-api.deviceInfo': Convert.toDeviceInfo
}
const [broker, address, group, ledger] = process.argv.slice(2)
const isFile = existsSync(ledger) && statSync(ledger).isFile()
const done = new Set(isFile ? readFileSync(ledger, 'utf8').split('\n').map(line => line.split(' ')[0]) : [])
const append = (path: string, ...words: string[]) => appendFileSync(path, words.join(' ') + '\n', { flush: true })

/** Yours: whatever must happen once. It keeps the id with its result, so that a repeat is known. */
function work (event: CloudEvent<unknown>, notification: object, type: string, digest: string) {
  append(ledger, event.id, String(event.instance), digest, type)
}

/** The SDK's own bindings would parse the body, and refuse one that begins with a space; this leaves it as received. */
function toEvent (headers: [string, string][], data: Buffer) {
  const attributes: Record<string, any> = {}
  for (const [name, value] of headers) {
    if (name.startsWith('ce_')) attributes[name.slice(3)] = value // Kafka
    if (name.startsWith('ce-')) attributes[name.slice(3)] = decodeURIComponent(value) // JetStream
  }
  return new CloudEvent<unknown>({ ...attributes, data })
}

function handle (headers: [string, string][], body: Buffer) {
  const digest = createHash('sha256').update(body).digest('hex')
  let event, notification, parse
  try {
    event = toEvent(headers, body)
    parse = PARSERS[event.type] ?? Convert.toNotification
    notification = parse(body.toString())
  } catch (problem) { // poison: set aside, because it would come again for ever
    append(`${ledger}.parked`, digest, body.toString('base64'))
    console.error('parked:', (problem as Error).name)
    return
  }
  if (!done.has(event.id)) {
    work(event, notification, parse.name.slice(2), digest)
    done.add(event.id)
    console.log(event.id, event.type)
  }
}

async function readKafka () {
  const deserializers = { headerKey: stringDeserializer, headerValue: stringDeserializer }
  const consumer = new Consumer({ clientId: group, groupId: group, bootstrapBrokers: [address], deserializers })
  const topics = CLASSES.map(name => `greenapi.${name}`)
  const stream = await consumer.consume({ topics, mode: 'committed', fallbackMode: 'earliest', autocommit: false })
  process.once('SIGTERM', () => stream.close())
  try {
    for await (const message of stream) {
      handle([...message.headers], message.value ?? Buffer.alloc(0))
      await message.commit()
    }
  } finally {
    await consumer.close(true)
  }
}

async function readNats () {
  const connection = await connect({ servers: address })
  // One unacknowledged message at a time keeps the order, also when this ends in the middle or shares its work.
  await (await jetstreamManager(connection)).consumers.add('GREENAPI', {
    durable_name: group, ack_policy: AckPolicy.Explicit, max_ack_pending: 1, ack_wait: nanos(5000), // must exceed the slowest work
    filter_subjects: CLASSES.map(name => `greenapi.${name}.>`)
  })
  const messages = await (await jetstream(connection).consumers.get('GREENAPI', group)).consume()
  process.once('SIGTERM', () => messages.close())
  for await (const message of messages) {
    const headers = message.headers?.keys().map(name => [name, message.headers!.get(name)])
    handle(headers as [string, string][] ?? [], Buffer.from(message.data))
    await message.ackAck()
  }
  await connection.close()
}

await (broker === 'kafka' ? readKafka() : readNats())
