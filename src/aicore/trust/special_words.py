r"""How words begin that make a text special: special categories, money, crime and secrets.

In English, German, French and Spanish, one beside the other. Each begins with a letter; a space
in it is written \s. Beginnings that common words share end with a word boundary.
"""

from __future__ import annotations

__all__ = ["BEGINNINGS"]

_HEALTH = r"""
sclero(?:sis|tic) sclérose esclerosis sklerose ms-krank heart\s+(?:attack|fail|cond|dis|prob)
heart\s+trans herz(?:inf|krank|fehl|schw|prob|op) cardiaque cardiac cardíac kardio kidney nieren
rénal renal riñón dialys dialis liver\s+(?:dis|fail|cond|trans|prob) leber(?:wert|z|schad|entz)
sida\b seroposit séroposit herpes abort[is] abortion aborto avort abtreib ivg\b bipolar schizo
esquizo parkinson dementia demen[zc]i demenz démence alzheimer suicid selbstmord suizid self-?harm
ritz(?:e|t)\s+mich prozac antidepr antidépr alcoholi alkoholi alcooli alcohólic std\b stds\b sti\b
erectile erektion érectil eréctil impoten infertil unfruchtb stérilit estéril esteril ivf\b fiv\b
künstliche\s+befr blood\s+(?:sugar|test) blutzucker blutwert glycémie glucemia
azúcar\s+en\s+la\s+sangre metformin lithium\b rheuma rhumat reuma arthri artri essst bulimi
boulimi anorex magersücht magersucht eating\s+dis root\s+canal wurzelbeh abscess abszess abcès
absceso panic\s+att panikatt adhd\b adhs\b tdah\b autis ptsd\b burn-?out thyroid schilddr thyroïd
tiroid crohn colitis tubercul tuberk sick\s+(?:leave|note) baja\s+méd hospital(?!ity|ier|ité|idad)
hôpital menopaus ménopaus wechseljahr incontin inkontin heroin\b cocain kokain cocaïn cocaín
opioid methadon cannabis marihuana marijuana rehab\b overdos copd\b anämi anaemi anemi anémi
thrombo trombo leuk[aä]m leuc[eé]m lymphom metasta lupus psoria neurode
mental(?:\s+health|\s+ill|ly\s+ill) down-?\s?synd surgeon operated\s+on hearing\s+aid hörgerät
schwerhör deaf\b gehörlos blind\b(?!\s+date) epileps ulcer hernia bandscheib hexenschuss gallstone
fibromyal endometr osteopor gicht\b gout\b gastri reflux bluter\b hemophil hämophil arrhythm
oncolog onkolog oncólog oncólog gynae gynä gynéco gineco urolog neurolog cardiolog
palliativ hospiz hospice kur\s+nach betäubung narkose anästhes anesthes anaesthes anesthés
"""
_FAITH = r"""
catholi katholi católic catolic cathol protestant evangeli évangéli evangéli jehov jéhov islam
musulm moslem mormon orthodox ramadan sabbat shabbat baptis getauft taufe\b sikh\b sikhs athé
ateo\b atea\b konfession pray\b prays prayer praying bete\s+(?:jeden|zu|täglich)
prie\s+(?:chaque|cinq) rezo\b messe\s+gehen misa\b bible\b bibel coran\b koran\b quran imam\b
rabbi pfarrer priest\b
"""
_SEXUALITY = r"""
bisex schwul queer lesb homosex asexu sexuell sexuel sexualit pansex nonbinary non-binary
nicht-?binär transsex transident gender\s+dys geschlechtsang lgbt coming-?\s?out
"""
_POLITICS = r"""
vote\s+(?:for|green|labour|tory|left|right|à|pour) voted\s
wähle\s+(?:die|den|das|links|rechts|grün) voto\s+(?:a|al|por|verde) parteimitglied party\s+member
political politisch politique\b político política republican\b democrats\b communis kommunis
socialist\b sozialist cdu\b csu\b spd\b afd\b fdp\b greens\b die\s+(?:grünen|linke)\b rechtsextrem
linksextrem far-right far-left union\s+(?:member|rep|dues|card) betriebsrat ig\s+metall verdi-mit
cgt\b ugt\b ccoo\b afiliad syndiqué
"""
_CRIME = r"""
prison\b prisoner prisión jail gefängnis knast\b cárcel carcel häftling haftstr in\s+haft\b
bewährungss parole\b probation criminal\s+(?:rec|cha|conv|cou) vorbestraft vorstraf verurteilt
convict casier\s+jud antecedentes\s+pen condamné condenad felony felon\b verhaftet arrested
offender straftat
"""
_MONEY = r"""
i(?:['\u2019]?m|\s+am)\s+broke flat\s+broke pleite credit\s+(?:score|rating|check) schufa
earn\s+\S*\d earn\s+(?:only|just|about|less|more) verdiene gagne\s+\S*\d gano\s+\S*\d income
einkommen revenus?\b ingresos unemploy arbeitslos chômage chômeu desemplead en\s+(?:el\s+)?paro\b
can(?:['\u2019]?t|not)\s+(?:pay|afford) nicht\s+(?:be)?zahlen\s+k peux\s+pas\s+payer puedo\s+pagar
sans\s+argent sin\s+dinero bürgergeld hartz sozialhilfe wohngeld welfare\b food\s+stamps mortgage
hypothek hypothèque hipoteca loan\b loans\b darlehen payday pfänd gerichtsvollz evict zwangsräum
surendett deuda dette inkasso foreclos
"""
_SECRETS = r"""
password passwort passwörter passphrase passcode kennwort mot\s+de\s+passe contraseña contrasena
pin(?:[\s-]?(?:code|nummer|number))?(?:\s+(?:is|ist|lautet|est|es)\b|\s*[:=]|\s+\d) pin-?code
geheimzahl code\s+pin número\s+pin social\s+security ssn\b sozialversicherungs steuer-?id\b
steueridentifik tax\s+id national\s+insurance sécurité\s+sociale numéro\s+de\s+sécu
seguridad\s+social passport\s+n reisepassn passnummer personalausweisn numéro\s+de\s+passeport
pasaporte\s+n número\s+de\s+pasaporte driver['\u2019]?s\s+licen[cs]e\s+n security\s+code
sicherheitscode one-time\s+(?:code|pass) otp\b code\s+de\s+sécurité código\s+de\s+seguridad
api[\s-]?key secret\s+(?:question|answer|key)
"""

BEGINNINGS = " ".join((_HEALTH, _FAITH, _SEXUALITY, _POLITICS, _CRIME, _MONEY, _SECRETS))
"""The beginnings as regular expressions, apart by white space."""
