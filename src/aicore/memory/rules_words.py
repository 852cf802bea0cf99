"""Words by which the rules know what a sentence is about, in four languages.

Words of all languages stand together: a sentence in one rarely has the words of another, and who
mixes them is understood as well. All are in lower case, with their accents.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["CHANGED", "DENIED", "PLAIN", "TOPIC_WORDS", "context_of", "words_in"]


def words_in(text: str) -> frozenset[str]:
    """The words of a table."""
    return frozenset(text.split())


PLAIN = words_in(
    """
    a ab acabo actual actualice actualicen actualizada actualizado actualizar actualmente
    actuel actuelle actuellement address ahora ai aktualisieren aktuell aktuelle aktuellen
    al all alles also always an and andere another anrufen appeler appelez apunta apunte
    apunten arbeit are as at attached au auf aujourd aussi autre avons become becomes been
    bei berufliche best better bin bitte bonjour brauche buenas buenos by c ca call cambiado
    cambiamos cambio cambié can casa ce change changed changes changing changé ci con
    contact contactarme contacter current currently d da dag danke das de dear del delivery
    demain depuis der des desde desormais devenu devient dial die dienstlich different dites
    dorénavant du dès désormais días ein eine einen el em en enregistrez enviar envoyer
    envoyez envíe envíen erreichbar erreichen erreichst es escriban escribirme escríbame est
    et everything folgende folgenden folgender folgt follow follows for forth frisch from
    fyi für geaendert gerade geschäftlich gewechselt geändert gilt got gracias guten ha habe
    haben hallo has hat haus have hay he heißt hello hemos her here heute hi hier hola home
    house hoy hui i ich ici il im immediately immer in info inzwischen is ist it its j ja je
    jetzt joignable joindre just kann key kindly können könnt künftig l la las lautet le les
    ll llamar llamarme llame llamen llámame llámeme llámenme lo localizarme los m ma mail
    main maintenant maison make mande manden mañana me meanwhile mein meine meinen meiner
    meines merci mes mi mich mir mis mit moi mon morgen mostly moved my nachricht neu neue
    neuen neuer neuerdings neues new nochmal note noter notez notiere notieren notiert notre
    nous nouveau nouveaux nouvel nouvelle now nr nuestra nuestro nueva nuevo numéro nun nur
    nutze nutzen of oh ok okay on only onwards otra oui our où para partir perso personal
    personnel personnelle persönliche please podéis poner por pour pouvez preferably privat
    private privates privé privée professionnel puede pueden puedes puis re reach reachable
    recently record ring ruf rufen s save schicken schreib schreiben see seit send senden
    sich sie siempre siguiente since sind so sofort sont soon suivante sur switched sí t tag
    tardes te tenemos tengo tenir text thanks the there this to today todo tomorrow toujours
    tout umgezogen un una unas und under une unser unsere unter up update updated updates
    usar use usen utilice utiliser utilisez ve verwenden via viens vient voici vous we
    wechsel wechselt will wir words work write writes wurde y yes you à ändern ändert écrire
    écrivez über
    """
)
"""What may stand beside the name of a thing where somebody states their own.

Nobody else is in it, nothing is denied, nothing is past.
"""

DENIED = words_in(
    """
    not no longer never isn doesn don wasn nicht kein keine keinen mehr nie ne n pas plus jamais
    nunca dead tot ungültig invalid gone cancelled disconnected old alt abgemeldet abgelaufen
    expired caduque caducado inválido muerto wrong falsch faux incorrecto was war était era
    """
)
"""What after a value says that it does not hold."""

CHANGED = words_in(
    """
    new now changed change changes changing moved move switched switch instead anymore longer
    updated update replaced different swapped onwards
    neu neue neuen neuer neues neuem jetzt nun geändert ändert änderung gewechselt wechsel statt
    stattdessen umgezogen ziehe ziehen umzug mehr künftig
    nouveau nouvel nouvelle nouveaux maintenant désormais dorénavant changé change changement
    déménagé déménage déménagement lieu plutôt plus
    nuevo nueva nuevos nuevas ahora cambié cambiado cambio cambiamos cambia mudé mudado mudamos
    mudanza lugar mejor
    """
)
"""What may say that something is no longer as it was."""

TOPIC_WORDS: Mapping[str, str] = {
    "name": "name surname called Name Nachname heißen nom appeler nombre apellido llamarse",
    "phone": "phone number telephone mobile Telefon Nummer Handy téléphone numéro portable"
    " teléfono número móvil",
    "email": "email mail address Mailadresse E-Mail Adresse courriel adresse correo electrónico",
    "address": "address live home street Adresse Anschrift wohnen Straße adresse habiter domicile"
    " rue dirección domicilio vivir calle",
    "birthday": "birthday born Geburtstag geboren anniversaire naissance cumpleaños nacimiento",
    "diet": "diet eat food Ernährung essen régime manger dieta comer",
    "allergy": "allergy allergic allergies Allergie allergisch allergique alergia alérgico",
    "intolerance": "intolerance allergy tolerate Unverträglichkeit verträgt intolérance supporte"
    " intolerancia tolera",
    "health": "health illness condition Gesundheit Krankheit santé maladie salud enfermedad",
    "medication": "medication medicine takes Medikament Medizin nimmt médicament prend"
    " medicamento toma",
    "work": "work job profession Beruf Arbeit arbeitet travail métier trabajo profesión",
    "partner": "partner husband wife Mann Frau mari femme marido esposa pareja",
    "child": "child children son daughter Kind Kinder Sohn Tochter enfant fils fille hijo hija",
    "pet": "pet animal dog cat Haustier Tier Hund Katze animal chien chat mascota perro gato",
    "vehicle": "car vehicle drive Auto Fahrzeug fahren voiture véhicule conduire coche vehículo",
    "plate": "plate registration car Kennzeichen Auto immatriculation plaque matrícula coche",
    "size": "size wear Größe trägt taille pointure talla número",
    "membership": "membership member customer number Mitgliedsnummer Kundennummer adhérent client"
    " numéro socio cliente número",
    "insurance": "insurance insurer Versicherung Krankenkasse assurance mutuelle seguro"
    " aseguradora",
    "appointment": "appointment booking when Termin Buchung rendez-vous réservation cita reserva",
    "appointment wanted": "appointment booking moved Termin verschoben rendez-vous reporté cita"
    " cambiada",
    "preference: time of day": "time hour Uhrzeit Tageszeit Zeit heure moment hora horario",
    "preference: day": "day weekday Tag Wochentag jour día",
    "preference: contact": "contact reach contacted Kontakt erreichen joindre contacter contacto"
    " contactar",
    "preference: language": "language Sprache langue idioma",
    "preference: form of address": "called addressed Anrede nennen appeler tratamiento llamar",
    "preference: staff": "staff who with Mitarbeiter wem employé avec personal empleado",
    "preference: payment": "pay payment invoice card zahlen Zahlung Rechnung Karte payer paiement"
    " pagar pago",
    "preference: delivery": "delivery parcel deliver Lieferung Paket livraison colis entrega"
    " paquete",
}


def context_of(topic: str) -> str:
    """Words by which a fact of a topic is asked for, in four languages."""
    return TOPIC_WORDS.get(topic) or TOPIC_WORDS.get(topic.partition(": ")[0], "")
