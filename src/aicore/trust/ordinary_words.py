"""Words too ordinary to be taken for a name when they stand alone, in four languages.

No list of names: it only keeps what follows "I am" from being one too often. Folded: lower case,
no accents.
"""

from __future__ import annotations

from functools import cache

__all__ = ["fold", "is_ordinary"]

_ENGLISH = """
a able about above after again against ago ahead all almost alone already also always am an and
another any anybody anyone anything anyway are around as asap asking at available away awaiting
back bad be because been before behind being best better between big birthday book booked booking
both business busy but by call called calling can cannot card care case change check clear client
close closed coming company confused contact could customer date day days dear did different
disappointed do does doing done down due during each early either else email end even evening ever
every everyone everything excited fan far few fine first following for free friday from full
general getting glad go going good got great had half happy has have having he hello help her here
hers hi him his home hope hotel hour how however i if in information instead interested into
invoice is it its just keen know last late later least left less let like line little live living
long looking lot lovely made make manager many march may maybe me member message mine monday money
month more morning most much must my name near need nearly never new next nice no nobody none not
nothing now number of off offer office often ok okay old on once one online only open or order
other our out over own owner part party payment people perfect person phone please plus possible
price problem question quite rather ready really regarding regards repeat request right room
running same saturday say see seem send sent service she should shop sick since site so some
someone something soon sorry special still stop such sunday super sure table take team tell than
thank thanks that the their them then there these they thing think this those through thursday
till time to today together tomorrow tonight too trying tuesday two under unable unfortunately
until up update upset urgent us use used using very via visit waiting want wanted was we website
wednesday week well were what when where which while who whole whose why will wish with within
without wondering work working worried would writing wrong year yes yesterday yet you your yours
street road city
"""
_GERMAN = """
aber ab abend adresse alle allem allen alles als also alt alter am an anderen anfrage angebot
antwort auch auf aufgrund auftrag aus bald bei beide beiden beim bereits bestellung besser bin bis
bisher bitte da dabei daher damit danach dank danke dann daran darauf darf das dass dein dem den
denn der des deshalb die dienstag dies diese dieser dieses doch donnerstag dort du durch eben eher
eigentlich ein eine einem einen einer eines einfach einige einmal er erst erreichbar es etwas euch
euer falls fast fertig firma frage fragen frei freitag freue froh fuer für gar geben gegen geht
gern gerne geschaeft gestern gesund grosse gruss grüße gut gute guten hab habe haben haette hallo
hat hatte hause heisse herr herren hier hin hotel ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im
immer in ins interessiert ist ja jede jeder jemand jetzt juni kann kein keine keinen klar klein
kollege konto krank kunde kundin können langsam laut leider lieber mal man mein meine meinem
meinen meiner melden mich mir mit mittag mittwoch moechte montag morgen muss möchte müde nach
nachmittag nacht name neu neue neuen nicht nichts nie noch nochmal nr nummer nun nur ob oder ohne
ort per personen platz plz preis rechnung recht richtig ruf rund samstag schade schnell schon sehr
seit sich sicher sie sind so sofort sogar sohn sollte somit sondern sonntag sonst stadt strasse
stunde super tag tage tel telefon termin tisch tochter trotzdem ueber um und uns unser unsere
unserem unter unterwegs unzufrieden vergessen verärgert viel viele vielen vielleicht vom von vor
wahrscheinlich wann war warten warum was weg wegen weil weiter welche wenn wer werde werden wie
wieder will wir wird wo woche wohl wohnung wollte worden wurde wäre zeit zu zufrieden zum zur
zurück zusammen zwar zwei
"""
_FRENCH = """
a actuellement afin ai ainsi alors apres après arrive assez au aucun aujourd aujourdhui aussi
autre autres aux avait avant avec avez avoir avons beaucoup besoin bien bientot bonjour bonsoir
bon bonne ca car carte ce cela celle celui ces cet cette ceux chaque cher chere chez chose client
cliente combien comme comment commande commentaire compte content contente contre cordialement
dans de deja depuis des desole desolee deux devant disponible dois donc dont dossier du elle elles
en encore enfin ensuite entre envoyer est et etait ete etes etre eu eux facture faire fait faut
fille fils fois gens gentil grand grande gros heure heureux ici il ils interesse inquiet jamais je
jeudi joignable jour journee jours jusque juste la le les leur leurs lui lundi ma madame
mademoiselle mai mais malade malheureusement mal mardi mari matin me meme merci mercredi mes mieux
mille moi moins mois mon monsieur mr mme ne ni nom non nos notre nous nouveau nouvelle numero on
ont ou par parce parfait pas pendant personne personnes petit petite peu peut peux plus plutot
point possible pour pourquoi pourrais pouvez premier pres prix probleme puis quand que quel quelle
quelque qui quoi rdv rendez reponse rien sa samedi sans sauf se semaine ses seul seulement si
sinon soir sommes son sont sous suis suite sur surtout svp ta table tard tel telephone tellement
temps tes toi ton tot toujours tous tout toute toutes travail tres trop trouve tu un une urgent
vais vendredi vers veux ville voici voila vos votre voudrais vous vraiment
"""
_SPANISH = """
a abierto ahora al algo alguien algun alguna alli alto amiga amigo antes año aqui asi aun aunque
avisar ayer bastante bien buen buena buenas bueno buenos cada calle casa casi cita ciudad cliente
clienta como comprar con confirmo contigo contra correo cosa cual cuando cuanto cuenta de debe del
demasiado dentro desde despues dia dias direccion disponible domingo donde dos durante el ella
ellas ellos en encantado encantada enfermo enferma entonces entre era es esa ese eso esta estaba
estado estamos estan estar estas este esto estoy factura favor fin fue fuera gracias gran grande
ha hace hacer hacia han hasta hay he hemos hija hijo hola hombre hora hoy igual interesada
interesado ir jueves junto la las le les libre lo los luego lugar lunes madre mal mañana manera
martes marido mas mayor me media mejor menos mensaje mes mesa mi miercoles mientras mis mismo
mucha mucho mujer muy nada nadie necesito ni ningun no noche nombre nos nosotros nuestra nuestro
nueva nuevo numero nunca o otra otro padre pago para parte pedido pero persona personas piso poco
podria por porfa porque posible precio pregunta primera primero problema puede puedo pues que
queria quien quiere quiero quizas reserva saber sabado saludo saludos se sea segun seguro semana
senor senora ser si siempre siento sin sino sobre solo somos son soy su sus tal tambien tampoco
tan tanto tarde telefono tengo tenia tiempo tiene todavia todo todos trabajando trabajo tu tus un
una uno unos urgente va vamos veces ver vez viejo viernes vosotros voy vuestra vuestro y ya yo
"""


class _Folding(dict[int, str]):
    """Letters to their plain lower case form, one for one: places in a text stay the same."""

    def __missing__(self, code: int) -> str:
        import unicodedata

        letter, *marks = list(unicodedata.normalize("NFD", chr(code)))
        plain = (letter if all(map(unicodedata.combining, marks)) else chr(code)).lower()
        self[code] = folded = plain if len(plain) == 1 else chr(code)
        return folded


_FOLDING = _Folding()


def fold(text: str) -> str:
    """The same in lower case and without accents, and exactly as long."""
    return text.translate(_FOLDING)


@cache
def _ordinary() -> frozenset[str]:
    return frozenset(fold(" ".join((_ENGLISH, _GERMAN, _FRENCH, _SPANISH))).split())


def is_ordinary(word: str) -> bool:
    """Whether a word is an everyday one of any of the four languages, "I'm" and "c'est" too."""
    words = _ordinary()
    parts = fold(word).replace("\u2019", "'").split("'")
    return parts[0] in words if len(parts) == 1 else all(p in words or len(p) < 3 for p in parts)
