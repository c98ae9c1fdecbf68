// Times for people: in the browser's zone, with the exact instant at hand.

import { useEffect, useState } from 'preact/hooks';

const local = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

export function moment(text: string | null | undefined): string {
  return text ? local.format(new Date(text)) : '–';
}

// span is a duration in milliseconds in its largest one or two units.
export function span(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${(ms / 1000).toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 172_800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

export function took(from?: string | null, until?: string | null): string {
  return from && until ? span(Date.parse(until) - Date.parse(from)) : '–';
}

// until counts down to an instant.
export function until(text: string | null | undefined, now: number): string {
  if (!text) return '–';
  const left = Date.parse(text) - now;
  return left < 0 ? `${span(-left)} ago` : `in ${left < 60_000 ? `${Math.ceil(left / 1000)} s` : span(left)}`;
}

// useNow is the time, once a second.
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

// toInput and fromInput map an instant to the value of an input of the type
// datetime-local, and back.
export function toInput(text: string): string {
  const t = new Date(text);
  return new Date(t.getTime() - t.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

export function fromInput(value: string): string | null {
  return value ? new Date(value).toISOString() : null;
}
