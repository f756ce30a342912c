import { type FormEvent, useEffect, useId, useRef, useState } from 'react'
import { Button, Field, Notice, Panel } from '../kit/kit'
import { check, edit, paste, rename, take, useImporting } from './importing'

const EXAMPLE = 'symbol,quantity,entry price,entry date\nAAPL,10,190.50,2024-05-02\nTSM,-4,210,'
const LONGEST_NAME = 200

/** A file's text: dropped, chosen or pasted; and corrected here, too. */
export function ImportForm() {
  const { name, text, isBusy, unread } = useImporting()
  const chooser = useRef<HTMLInputElement>(null)
  const isAbove = useDrop()
  const hint = useId()

  function submit(event: FormEvent) {
    event.preventDefault()
    void check()
  }

  return (
    <Panel title="Import a portfolio">
      <form className="import" onSubmit={submit}>
        <div className={`drop ${isAbove ? 'above' : ''}`}>
          <p>
            <strong>{isAbove ? 'Let go to check it' : 'Drop a CSV file anywhere on this page'}</strong>
          </p>
          <p className="soft small" id={hint}>
            As brokers export them, or typed by hand: at most 1 MiB. Nothing is written before you have seen what is in it.
          </p>
          <Button aria-describedby={hint} onClick={() => chooser.current?.click()}>
            Choose a file
          </Button>
          <input
            ref={chooser}
            type="file"
            accept=".csv,.tsv,.txt,text/csv,text/plain"
            aria-label="Portfolio file"
            hidden
            onChange={({ target }) => {
              void take([...(target.files ?? [])])
              target.value = '' // the same file, corrected, may be chosen again
            }}
          />
        </div>
        <Field label="Or paste its text, and correct it here">
          <textarea
            className="input text"
            rows={8}
            spellCheck={false}
            wrap="off"
            required
            placeholder={EXAMPLE}
            value={text}
            onChange={({ target }) => edit(target.value)}
            onPaste={(event) => paste(event.clipboardData.getData('text/plain'), event.currentTarget) && event.preventDefault()}
          />
        </Field>
        <div className="line">
          <Field label="Name of the portfolio">
            <input
              className="input"
              required
              maxLength={LONGEST_NAME}
              autoComplete="off"
              value={name}
              onChange={({ target }) => rename(target.value)}
            />
          </Field>
          <button type="submit" className="button primary" disabled={isBusy !== null}>
            {isBusy === 'checking' ? 'Checking…' : 'Check'}
          </button>
        </div>
        {unread && (
          <Notice tone="warn" role="alert">
            {unread}
          </Notice>
        )}
      </form>
    </Panel>
  )
}

/** Takes files that are dropped anywhere: beside the right place, the browser would leave the page for them. */
function useDrop(): boolean {
  const [isAbove, setAbove] = useState(false)
  useEffect(() => {
    const holdsFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false
    const over = (event: DragEvent) => {
      if (!holdsFiles(event)) return
      event.preventDefault()
      setAbove(true)
    }
    const leave = (event: DragEvent) => event.relatedTarget === null && setAbove(false)
    const drop = (event: DragEvent) => {
      if (!holdsFiles(event)) return
      event.preventDefault()
      setAbove(false)
      void take([...(event.dataTransfer?.files ?? [])])
    }
    addEventListener('dragover', over)
    addEventListener('dragleave', leave)
    addEventListener('drop', drop)
    return () => {
      removeEventListener('dragover', over)
      removeEventListener('dragleave', leave)
      removeEventListener('drop', drop)
    }
  }, [])
  return isAbove
}
