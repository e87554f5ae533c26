// Reads `application/vnd.steplog.columns`: typed arrays over the answer itself; what came as planes is put together.

export const COLUMNS = "application/vnd.steplog.columns";

const TYPES = { f8: Float64Array, f4: Float32Array, i8: BigInt64Array, u4: Uint32Array };
const TEXT = new TextDecoder();

/**
 * The tables of an answer: `{about, columns}`. `about` is what the header says; `columns` has an array by name: of
 * numbers a typed one, of JSON texts one of strings, "" where a value is missing.
 */
export function tablesOf(buffer) {
  const tables = [];
  for (let start = 0; start < buffer.byteLength; ) {
    const length = new DataView(buffer, start, 4).getUint32(0, true);
    const data = start + 4 + length;
    const about = JSON.parse(TEXT.decode(new Uint8Array(buffer, start + 4, length)));
    const columns = {};
    let end = data;
    for (const { name, type, offset, bytes, count } of about.columns) {
      const first = data + offset;
      if (type === "json") columns[name] = textsOf(buffer, first, bytes, count);
      else if (type.endsWith("p")) columns[name] = new TYPES[type.slice(0, -1)](joined(buffer, first, bytes, count));
      else columns[name] = new TYPES[type](buffer, first, count);
      end = data + offset + bytes;
    }
    tables.push({ about, columns });
    start = Math.ceil(end / 8) * 8;
  }
  return tables;
}

/** Of planes, byte 0 of each number, then byte 1, …: the numbers. */
function joined(buffer, first, bytes, count) {
  const [planes, numbers, size] = [new Uint8Array(buffer, first, bytes), new Uint8Array(bytes), bytes / count];
  for (let plane = 0, from = 0; from < bytes; plane += 1) {
    for (let to = plane; to < bytes; to += size, from += 1) numbers[to] = planes[from];
  }
  return numbers.buffer;
}

function textsOf(buffer, first, bytes, count) {
  const ends = new Uint32Array(buffer, first, count);
  const texts = new Uint8Array(buffer, first + 4 * count, bytes - 4 * count);
  return Array.from(ends, (end, at) => TEXT.decode(texts.subarray(at ? ends[at - 1] : 0, end)));
}
