// A tiny FastCGI peer: it talks to the program as nginx does, but checks, buffers and normalises nothing, so that what
// nginx would refuse by itself reaches the program.
import net from 'node:net';
import { seen } from './leaks.mjs';

export const BEGIN = 1, ABORT = 2, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, STDERR = 7, GET_VALUES = 9, GET_VALUES_RESULT = 10, UNKNOWN_TYPE = 11;

/** One record; `pad` bytes of padding follow its content. */
export function record(type, content = '', { id = 1, version = 1, pad = 0 } = {}) {
  const body = Buffer.from(content);
  const head = Buffer.alloc(8);
  head[0] = version;
  head[1] = type;
  head.writeUInt16BE(id, 2);
  head.writeUInt16BE(body.length, 4);
  head[6] = pad;
  return Buffer.concat([head, body, Buffer.alloc(pad)]);
}

/** A stream is records of at most 65,535 bytes (`size`: fewer) and an empty one at its end. */
export function stream(type, content, { end = true, size = 65528, pad = 0, id = 1 } = {}) {
  const body = Buffer.from(content), records = [];
  for (let at = 0; at < body.length; at += size) records.push(record(type, body.subarray(at, at + size), { id, pad }));
  if (end) records.push(record(type, '', { id }));
  return Buffer.concat(records);
}

/** FCGI_BEGIN_REQUEST. */
export const beginRecord = ({ keep = false, role = 1, id = 1 } = {}) => record(BEGIN, Buffer.from([role >> 8, role & 255, keep ? 1 : 0, 0, 0, 0, 0, 0]), { id });

function length(n) {
  if (n < 128) return Buffer.from([n]);
  const four = Buffer.alloc(4);
  four.writeUInt32BE((n | 0x80000000) >>> 0);
  return four;
}

/** Name-value pairs as FCGI_PARAMS carries them. */
export function pairs(values) {
  return Buffer.concat(Object.entries(values).filter(([, value]) => value !== undefined).flatMap(([name, value]) => {
    const [n, v] = [Buffer.from(name), Buffer.isBuffer(value) ? value : Buffer.from(String(value))];
    return [length(n.length), length(v.length), n, v];
  }));
}

/** The variables of a request, as nginx sends them. */
export function variables({ method = 'GET', path = '/', headers = {}, body = '', contentLength } = {}) {
  const size = Buffer.byteLength(body);
  const values = {
    REQUEST_METHOD: method, REQUEST_URI: path, QUERY_STRING: path.split('?').slice(1).join('?'), REMOTE_ADDR: '192.0.2.7',
    SERVER_PROTOCOL: 'HTTP/1.1', GATEWAY_INTERFACE: 'CGI/1.1',
    CONTENT_LENGTH: contentLength ?? (size > 0 || !['GET', 'HEAD', 'DELETE'].includes(method) ? size : ''),
  };
  for (const [name, value] of Object.entries(headers)) {
    const variable = name.toUpperCase().replaceAll('-', '_');
    values[variable === 'CONTENT_TYPE' ? variable : `HTTP_${variable}`] = value;
  }
  return values;
}

/** The bytes of a whole request. `paramSize` and `stdinSize` bound its records. */
export function requestBytes({ keep = false, id = 1, paramSize, stdinSize, pad = 0, ...what } = {}) {
  return Buffer.concat([
    beginRecord({ keep, id }),
    stream(PARAMS, pairs(variables(what)), { id, size: paramSize, pad }),
    stream(STDIN, what.body ?? '', { id, size: stdinSize, pad }),
  ]);
}

function parse(stdout) {
  const split = stdout.indexOf('\r\n\r\n');
  if (split < 0) throw new Error(`no response head: ${JSON.stringify(stdout.toString().slice(0, 200))}`);
  const headers = {};
  for (const line of stdout.subarray(0, split).toString('latin1').split('\r\n')) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const body = stdout.subarray(split + 4);
  return { status: parseInt(headers.status ?? '200', 10), headers, body, text: body.toString() };
}

/**
 * Starts a request. `address` is a socket's path or {host, port}. Headers become HTTP_ variables; `params` adds to the
 * variables or, with undefined, takes them away. `contentLength` may lie. With `hold`, the body's end is sent by finish().
 */
export function begin(address, { method = 'GET', path = '/', headers = {}, body = '', params: more = {}, contentLength, hold = false, within = 60_000 } = {}) {
  const content = Buffer.isBuffer(body) ? body : Buffer.from(body);
  const sent = variables({ method, path, headers, body: content, contentLength });
  const socket = net.connect(typeof address === 'string' ? { path: address } : address);
  socket.write(Buffer.concat([beginRecord(), stream(PARAMS, pairs({ ...sent, ...more })), stream(STDIN, content, { end: !hold })]));

  const response = new Promise((resolve, reject) => {
    let pending = Buffer.alloc(0), ended = false;
    const out = [], errors = [];
    socket.setTimeout(within, () => socket.destroy(new Error(`no answer within ${within} ms: ${method} ${path}`)));
    socket.on('error', reject);
    socket.on('close', () => { if (!ended) reject(new Error(`the connection closed before the answer's end: ${method} ${path}`)); });
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 8) {
        const size = pending.readUInt16BE(4), whole = 8 + size + pending[6];
        if (pending.length < whole) return;
        const data = pending.subarray(8, 8 + size);
        if (pending[1] === STDOUT) out.push(data);
        if (pending[1] === STDERR) errors.push(data);
        if (pending[1] === END) {
          ended = true;
          socket.end();
          try {
            resolve({ ...parse(Buffer.concat(out)), errors: Buffer.concat(errors).toString() });
          } catch (error) { reject(error); }
        }
        pending = pending.subarray(whole);
      }
    });
  });
  return {
    response, socket,
    send: (data) => socket.write(stream(STDIN, Buffer.from(data), { end: false })),
    finish: () => socket.write(record(STDIN, Buffer.alloc(0))),
    abort: () => socket.write(record(ABORT, Buffer.alloc(0))),
  };
}

/** One request and its answer: {status, headers, body, text, json}. */
export async function request(address, options) {
  const answer = await begin(address, options).response;
  seen(options?.method ?? 'GET', options?.path ?? '/', options?.body, answer);
  return Object.defineProperty(answer, 'json', { get: () => JSON.parse(answer.text) });
}

/**
 * A connection on which a test says whatever it wants. record() and answer() read from it, closed() waits for the other
 * side's end. `address` is a socket's path.
 */
export async function connect(address) {
  const socket = net.connect({ path: address, allowHalfOpen: true });
  await new Promise((resolve, reject) => { socket.once('connect', resolve); socket.once('error', reject); });
  socket.on('error', () => {});
  let bytes = Buffer.alloc(0), ended = false, wake = () => {};
  socket.on('data', (chunk) => { bytes = Buffer.concat([bytes, chunk]); wake(); });
  for (const event of ['end', 'close']) socket.on(event, () => { ended = true; wake(); });
  const more = (deadline) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the program did not answer in time')), Math.max(1, deadline - Date.now()));
    wake = () => { clearTimeout(timer); resolve(); };
  });
  async function next(deadline) {
    for (;;) {
      if (bytes.length >= 8) {
        const size = bytes.readUInt16BE(4), whole = 8 + size + bytes[6];
        if (bytes.length >= whole) {
          const found = { type: bytes[1], id: bytes.readUInt16BE(2), content: bytes.subarray(8, 8 + size) };
          bytes = bytes.subarray(whole);
          return found;
        }
      }
      if (ended) return undefined;
      await more(deadline);
    }
  }
  return {
    socket,
    write: (data) => new Promise((resolve) => { socket.write(data, () => resolve()); }),
    /** The next record; undefined at the connection's end. */
    record: (ms = 10_000) => next(Date.now() + ms),
    /** One request's answer; undefined where the connection ended before it did. */
    async answer(ms = 20_000) {
      const deadline = Date.now() + ms, out = [];
      for (;;) {
        const r = await next(deadline);
        if (!r) return undefined;
        if (r.type === STDOUT) out.push(r.content);
        if (r.type === END) return { id: r.id, protocolStatus: r.content[4], ...parse(Buffer.concat(out)) };
      }
    },
    async closed(ms = 20_000) {
      const deadline = Date.now() + ms;
      while (!ended) await more(deadline);
      return true;
    },
    destroy: () => socket.destroy(),
  };
}
