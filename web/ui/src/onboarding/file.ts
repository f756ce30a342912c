// A file as text, or why it is none.
const MAX_BYTES = 1024 * 1024
const LONGEST_NAME = 200

export type Read = { text: string; name: string } | { refusal: string }

export async function read(file: File): Promise<Read> {
  const isLarge = tooLarge(file.name, file.size)
  if (isLarge) return { refusal: isLarge }
  if (file.size === 0) return { refusal: `${file.name} is empty.` }
  const text = decoded(await file.arrayBuffer())
  if (text === null) return { refusal: `${file.name} is no text in UTF-8. Export it as CSV, in UTF-8.` }
  const stem = file.name.replace(/\.[^.]+$/, '').trim()
  return { text, name: stem.slice(0, LONGEST_NAME) }
}

/** Said here, before so much is sent. */
export const tooLarge = (what: string, size: number): string | null =>
  size > MAX_BYTES ? `${what} is larger than 1 MiB. Import it in parts, each under a name of its own.` : null

function decoded(bytes: ArrayBuffer): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return text.includes('\0') ? null : text
  } catch {
    return null
  }
}
