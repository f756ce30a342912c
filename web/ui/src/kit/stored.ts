import { useState } from 'react'

/** A choice of the viewer's that this browser remembers. */
export function useStored<Value extends string>(name: string, known: readonly Value[], otherwise: Value) {
  const [value, setValue] = useState(() => known.find((one) => one === localStorage.getItem(name)) ?? otherwise)
  const store = (chosen: Value) => {
    localStorage.setItem(name, chosen)
    setValue(chosen)
  }
  return [value, store] as const
}
