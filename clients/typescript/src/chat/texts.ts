import { Locale, nearestLanguage } from "../ui/locale.js";

const en = {
  chats: "Chats",
  messages: "Messages",
  back: "All chats",
  empty: "No conversations yet",
  emptyHint: "When somebody writes to you, it shows here.",
  pick: "Choose a conversation",
  loading: "Loading …",
  loadFailed: "This could not be loaded.",
  again: "Try again",
  begin: "This is the beginning of your conversation.",
  fresh: "New messages",
  latest: "Go to the newest message",
  you: "You",
  youSaid: "You said:",
  said: "{name} said:",
  somebody: "Somebody",
  online: "Online",
  away: "Away",
  busy: "Busy",
  offline: "Offline",
  people: { one: "{count} person", other: "{count} people" },
  unread: { one: "{count} unread message", other: "{count} unread messages" },
  typing: "{name} is typing …",
  typingMany: "Several people are typing …",
  write: "Write a message",
  send: "Send",
  attach: "Attach a file",
  detach: "Remove the file",
  edited: "edited",
  deleted: "This message was deleted.",
  deletedReply: "A deleted message",
  earlier: "An earlier message",
  sending: "Sending",
  waiting: "Waiting for a connection",
  sent: "Sent",
  read: "Read",
  failed: "Not sent:",
  retry: "Send again",
  discard: "Discard",
  react: "React",
  reactWith: "React with {name}",
  reply: "Reply",
  replyTo: "Reply to {name}",
  edit: "Edit",
  editing: "Edit message",
  save: "Save",
  delete: "Delete",
  reallyDelete: "Delete for everybody?",
  cancel: "Cancel",
  actions: "What to do with this message",
  photo: "Picture",
  file: "File",
  download: "Download {name}",
  picture: "Picture: {name}. Open it",
  refusedChange: "That did not work:",
  reconnecting: "Connecting …",
  isOffline: "You are offline. Messages wait here, and go out when you are back.",
  unauthenticated: "You are signed out. Sign in to go on.",
  refused: "Chat is not available:",
  today: "Today",
  yesterday: "Yesterday",
};

export type ChatTexts = { [Name in keyof typeof en]: (typeof en)[Name] extends string ? string : PluralTexts };
type PluralTexts = Partial<Record<Intl.LDMLPluralRule, string>>;

const de: ChatTexts = {
  chats: "Chats",
  messages: "Nachrichten",
  back: "Alle Chats",
  empty: "Noch keine Unterhaltungen",
  emptyHint: "Wenn dir jemand schreibt, steht es hier.",
  pick: "Wähle eine Unterhaltung",
  loading: "Lädt …",
  loadFailed: "Das konnte nicht geladen werden.",
  again: "Noch einmal",
  begin: "Hier beginnt eure Unterhaltung.",
  fresh: "Neue Nachrichten",
  latest: "Zur neuesten Nachricht",
  you: "Du",
  youSaid: "Du schriebst:",
  said: "{name} schrieb:",
  somebody: "Jemand",
  online: "Online",
  away: "Abwesend",
  busy: "Beschäftigt",
  offline: "Offline",
  people: { one: "{count} Person", other: "{count} Personen" },
  unread: { one: "{count} ungelesene Nachricht", other: "{count} ungelesene Nachrichten" },
  typing: "{name} schreibt …",
  typingMany: "Mehrere schreiben …",
  write: "Nachricht schreiben",
  send: "Senden",
  attach: "Datei anhängen",
  detach: "Datei entfernen",
  edited: "bearbeitet",
  deleted: "Diese Nachricht wurde gelöscht.",
  deletedReply: "Eine gelöschte Nachricht",
  earlier: "Eine frühere Nachricht",
  sending: "Wird gesendet",
  waiting: "Wartet auf eine Verbindung",
  sent: "Gesendet",
  read: "Gelesen",
  failed: "Nicht gesendet:",
  retry: "Noch einmal senden",
  discard: "Verwerfen",
  react: "Reagieren",
  reactWith: "Mit {name} reagieren",
  reply: "Antworten",
  replyTo: "Antwort an {name}",
  edit: "Bearbeiten",
  editing: "Nachricht bearbeiten",
  save: "Speichern",
  delete: "Löschen",
  reallyDelete: "Für alle löschen?",
  cancel: "Abbrechen",
  actions: "Was mit dieser Nachricht geschehen soll",
  photo: "Bild",
  file: "Datei",
  download: "{name} herunterladen",
  picture: "Bild: {name}. Öffnen",
  refusedChange: "Das ging nicht:",
  reconnecting: "Verbindet …",
  isOffline: "Du bist offline. Nachrichten warten hier und gehen hinaus, sobald du zurück bist.",
  unauthenticated: "Du bist abgemeldet. Melde dich an, um weiterzumachen.",
  refused: "Der Chat ist nicht verfügbar:",
  today: "Heute",
  yesterday: "Gestern",
};

const pt: ChatTexts = {
  chats: "Conversas",
  messages: "Mensagens",
  back: "Todas as conversas",
  empty: "Nenhuma conversa ainda",
  emptyHint: "Quando alguém escrever para você, aparecerá aqui.",
  pick: "Escolha uma conversa",
  loading: "Carregando …",
  loadFailed: "Não foi possível carregar.",
  again: "Tentar de novo",
  begin: "Este é o começo da conversa.",
  fresh: "Novas mensagens",
  latest: "Ir para a mensagem mais recente",
  you: "Você",
  youSaid: "Você disse:",
  said: "{name} disse:",
  somebody: "Alguém",
  online: "On-line",
  away: "Ausente",
  busy: "Ocupado",
  offline: "Off-line",
  people: { one: "{count} pessoa", other: "{count} pessoas" },
  unread: { one: "{count} mensagem não lida", other: "{count} mensagens não lidas" },
  typing: "{name} está digitando …",
  typingMany: "Várias pessoas estão digitando …",
  write: "Escreva uma mensagem",
  send: "Enviar",
  attach: "Anexar um arquivo",
  detach: "Remover o arquivo",
  edited: "editada",
  deleted: "Esta mensagem foi apagada.",
  deletedReply: "Uma mensagem apagada",
  earlier: "Uma mensagem anterior",
  sending: "Enviando",
  waiting: "Aguardando conexão",
  sent: "Enviada",
  read: "Lida",
  failed: "Não enviada:",
  retry: "Enviar de novo",
  discard: "Descartar",
  react: "Reagir",
  reactWith: "Reagir com {name}",
  reply: "Responder",
  replyTo: "Resposta a {name}",
  edit: "Editar",
  editing: "Editar mensagem",
  save: "Salvar",
  delete: "Apagar",
  reallyDelete: "Apagar para todos?",
  cancel: "Cancelar",
  actions: "O que fazer com esta mensagem",
  photo: "Imagem",
  file: "Arquivo",
  download: "Baixar {name}",
  picture: "Imagem: {name}. Abrir",
  refusedChange: "Não deu certo:",
  reconnecting: "Conectando …",
  isOffline: "Você está off-line. As mensagens esperam aqui e saem quando você voltar.",
  unauthenticated: "Sua sessão terminou. Entre de novo para continuar.",
  refused: "A conversa não está disponível:",
  today: "Hoje",
  yesterday: "Ontem",
};

/** Texts and formats of chat in one language. */
export class ChatLocale extends Locale<ChatTexts> {
  readonly #moment: Intl.DateTimeFormat;
  readonly #time: Intl.DateTimeFormat;
  readonly #day: Intl.DateTimeFormat;
  readonly #short: Intl.DateTimeFormat;

  constructor(tag: string, own: Partial<ChatTexts> = {}) {
    const others: Record<string, ChatTexts> = { de, "pt-br": pt };
    super(tag, { ...en, ...others[nearestLanguage(tag, ["en", ...Object.keys(others)]) ?? "en"], ...own });
    this.#moment = new Intl.DateTimeFormat(this.tag, { dateStyle: "full", timeStyle: "short" });
    this.#time = new Intl.DateTimeFormat(this.tag, { timeStyle: "short" });
    this.#day = new Intl.DateTimeFormat(this.tag, { weekday: "long", day: "numeric", month: "long" });
    this.#short = new Intl.DateTimeFormat(this.tag, { day: "numeric", month: "short" });
  }

  /** A text about somebody or something. */
  about(name: keyof ChatTexts, who: string): string {
    return this.text(name).replace("{name}", () => who);
  }

  /** Day and time in full. */
  moment(moment: Date): string {
    return this.#moment.format(moment);
  }

  time(moment: string): string {
    return this.#time.format(new Date(moment));
  }

  /** “Today”, “Yesterday”, “Friday 20 November”. */
  day(moment: string): string {
    const days = daysAgo(new Date(moment));
    return days === 0 ? this.text("today") : days === 1 ? this.text("yesterday") : this.#day.format(new Date(moment));
  }

  /** For lists: the time of today, else the day. */
  brief(moment: string): string {
    const days = daysAgo(new Date(moment));
    if (days === 0) return this.time(moment);
    return days === 1 ? this.text("yesterday") : this.#short.format(new Date(moment));
  }

  size(octets: number): string {
    const [unit, value] = octets < 1e6 ? ["kilobyte", octets / 1e3] : ["megabyte", octets / 1e6];
    const options = { style: "unit", unit, maximumFractionDigits: value! < 10 ? 1 : 0 } as const;
    return new Intl.NumberFormat(this.tag, options as Intl.NumberFormatOptions).format(value as number);
  }
}

function daysAgo(moment: Date): number {
  const midnight = (date: Date): number => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  return Math.round((midnight(new Date()) - midnight(moment)) / 86_400_000);
}
