import { type ReactNode, useId, useLayoutEffect, useRef } from 'react'
import { Button } from './kit'

/** In front of the page, with the focus on what is to be filled in; closed by its button and by Escape, it gives the focus back. */
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null)
  const id = useId()
  // Before it leaves the document: one that has left gives no focus back.
  useLayoutEffect(() => {
    const dialog = ref.current!
    dialog.showModal()
    dialog.querySelector<HTMLElement>('input, select, textarea')?.focus()
    return () => dialog.close()
  }, [])
  return (
    <dialog ref={ref} className="dialog" aria-labelledby={id} onClose={() => ref.current?.open || close()}>
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
