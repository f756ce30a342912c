import { Store, useStore } from './store'

export const THEMES = ['system', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

const theme = new Store<Theme>(THEMES.find((one) => one === localStorage.getItem('theme')) ?? 'system')

export const useTheme = () => useStore(theme)

/** Remembered by this browser; theme.js applies it before the next page is painted. */
export function chooseTheme(chosen: Theme) {
  if (chosen === 'system') {
    localStorage.removeItem('theme')
    delete document.documentElement.dataset.theme
  } else {
    localStorage.setItem('theme', chosen)
    document.documentElement.dataset.theme = chosen
  }
  theme.set(chosen)
}

/** Calls when the colours have changed, by the switch or by the system; for what draws outside of CSS. */
export function onColours(listener: () => void) {
  const dark = matchMedia('(prefers-color-scheme: dark)')
  dark.addEventListener('change', listener)
  const forget = theme.follow(listener)
  return () => {
    dark.removeEventListener('change', listener)
    forget()
  }
}

/** Those that are shown. */
export const colours = () =>
  theme.get() === 'dark' || (theme.get() === 'system' && matchMedia('(prefers-color-scheme: dark)').matches) ? 'dark' : 'light'
