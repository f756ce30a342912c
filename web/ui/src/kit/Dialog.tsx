import { type ReactNode, useId, useLayoutEffect, useRef } from 'react'
import { Button } from './kit'

/** In front of the page, with the focus in it; closed by its button and by Escape. */
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null)
  const id = useId()
  // Closed while it is still in the page: the focus goes back to where it was.
  useLayoutEffect(() => {
    const dialog = ref.current!
    if (!dialog.open) dialog.showModal()
    return () => dialog.close()
  }, [])
  return (
    <dialog ref={ref} className="dialog" aria-labelledby={id} onCancel={close}>
      <header>
        <h2 id={id}>{title}</h2>
        <Button kind="quiet" aria-label="Close" onClick={close}>
          ✕
        </Button>
      </header>
      {children}
    </dialog>
  )
}
