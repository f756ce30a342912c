// A file as text, or why it is none.
export const MAX_BYTES = 1024 * 1024

export type Read = { text: string; name: string } | { refusal: string }

export async function read(file: File): Promise<Read> {
  if (file.size > MAX_BYTES)
    return { refusal: `${file.name} is larger than 1 MiB. Import it in parts, each under a name of its own.` }
  if (file.size === 0) return { refusal: `${file.name} is empty.` }
  const text = decoded(await file.arrayBuffer())
  if (text === null) return { refusal: `${file.name} is no text in UTF-8. Export it as CSV, in UTF-8.` }
  return {
    text,
    name: file.name
      .replace(/\.[^.]+$/, '')
      .trim()
      .slice(0, 200),
  }
}

function decoded(bytes: ArrayBuffer): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return text.includes('\0') ? null : text
  } catch {
    return null
  }
}
