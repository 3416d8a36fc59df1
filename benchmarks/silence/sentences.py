"""What the synthetic voices say: short everyday sentences, some of one word."""
# ruff: noqa: RUF001 (Turkish has an i without a dot)

from typing import Final

SENTENCES: Final = {
    "en": (
        "Good morning, how can I help you today?",
        "Yes.",
        "I would like to change my address, please.",
        "My customer number is seven four nine, two two zero, eight.",
        "That is strange, because last month it still worked.",
        "One moment, I will look that up for you.",
    ),
    "es": (
        "Buenos días, ¿en qué puedo ayudarle?",
        "Sí, claro.",
        "Quisiera cambiar la fecha de mi cita.",
        "El número de mi pedido es cinco, ocho, uno, tres.",
        "No he recibido la factura de septiembre.",
    ),
    "fr": (
        "Bonjour, que puis-je faire pour vous ?",
        "Non, merci.",
        "Je voudrais parler à un conseiller.",
        "Mon numéro de dossier est le quarante-deux, dix-sept.",
        "Cela fait trois semaines que j'attends une réponse.",
    ),
    "it": (
        "Buongiorno, come posso aiutarla?",
        "Va bene.",
        "Vorrei sapere quando arriva il mio pacco.",
        "Il codice cliente è nove, sei, due, quattro.",
        "La linea è caduta già due volte stamattina.",
    ),
    "de": (
        "Guten Tag, was kann ich für Sie tun?",
        "Ja, genau.",
        "Ich möchte meinen Vertrag zum Ende des Jahres kündigen.",
        "Die Nummer ist drei, sieben, sieben, null, eins.",
        "Seit gestern Abend geht das Internet nicht mehr.",
    ),
    "ru": (
        "Здравствуйте, чем я могу вам помочь?",
        "Да, конечно.",
        "Я хотел бы узнать баланс моего счёта.",
        "Номер договора два, восемь, один, пять.",
        "Вчера мне никто не перезвонил.",
    ),
    "pl": (
        "Dzień dobry, w czym mogę pomóc?",
        "Tak.",
        "Chciałbym przełożyć wizytę na przyszły tydzień.",
        "Numer zamówienia to sześć, cztery, zero, dwa.",
    ),
    "nl": (
        "Goedemiddag, waarmee kan ik u helpen?",
        "Nee, dank u.",
        "Ik wil graag mijn adres laten wijzigen.",
        "Het nummer is acht, drie, drie, vijf.",
    ),
    "tr": (
        "İyi günler, size nasıl yardımcı olabilirim?",
        "Evet.",
        "Faturamı henüz almadım.",
        "Müşteri numaram yedi, iki, dokuz, bir.",
    ),
    "pt": (
        "Bom dia, em que posso ajudar?",
        "Está bem.",
        "Queria saber o estado da minha encomenda.",
        "O número do processo é quatro, um, seis, nove.",
    ),
    "sv": (
        "Hej, vad kan jag hjälpa dig med?",
        "Ja, tack.",
        "Jag skulle vilja ändra min bokning till fredag.",
        "Kundnumret är två, noll, sju, fem.",
    ),
    "fi": (
        "Hyvää päivää, kuinka voin auttaa?",
        "Kyllä.",
        "Haluaisin siirtää aikani ensi viikolle.",
        "Asiakasnumero on kolme, kahdeksan, yksi, kuusi.",
    ),
}
