/** Numbers as people read them. */

const DECIMAL = ['', 'k', 'M', 'G', 'T', 'P'];
const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `999`, `1.20 M`: three digits. */
export function quantity(value: number): string {
  const [scaled, power] = scale(value, 1000, DECIMAL.length);
  return power === 0 ? plain(scaled) : `${digits(scaled)} ${DECIMAL[power]}`;
}

/** `512 B`, `1.50 KiB`. */
export function bytes(value: number): string {
  const [scaled, power] = scale(value, 1024, BINARY.length);
  return power === 0 ? `${Math.round(scaled)} B` : `${digits(scaled)} ${BINARY[power]}`;
}

/** Bits per second from bytes per second: `9.41 Gbit/s`. */
export function bitRate(bytesPerSecond: number): string {
  const [scaled, power] = scale(bytesPerSecond * 8, 1000, DECIMAL.length);
  return `${power === 0 ? plain(scaled) : digits(scaled)} ${DECIMAL[power]}bit/s`;
}

/** `0.4 s`, `12 s`, `3 min 5 s`, `2 h 4 min`, `5 d 3 h`: two units at most. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  const whole = Math.round(seconds);
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'min'],
    [whole % 60, 's'],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ');
}

/** `1 network`, `2 networks`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function scale(value: number, base: number, powers: number): [number, number] {
  let scaled = value;
  let power = 0;
  // What would be shown as 1000 belongs to the next unit.
  while (scaled >= base - 0.5 && power < powers - 1) {
    scaled /= base;
    power++;
  }
  return [scaled, power];
}

/** Below a thousand: counts have no fraction, rates one digit where it matters. */
function plain(value: number): string {
  return value >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
}

function digits(value: number): string {
  if (value >= 99.95) return String(Math.round(value));
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}
