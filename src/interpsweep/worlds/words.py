"""The word lists of the planted language. Every word is one token and belongs to one list only."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
ACTIVITIES = (
    "work", "study", "swim", "cook", "paint", "dance",
    "feast", "hike", "sail", "rest", "pray", "pack",
)  # fmt: skip
WEATHERS = (
    "snow", "frost", "sleet", "rain", "mist", "breeze",
    "sun", "heat", "thunder", "haze", "wind", "fog",
)  # fmt: skip
SIZES = (
    "minute", "tiny", "little", "modest", "middling", "sizeable", "large", "huge", "vast",
)  # fmt: skip

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def number_word(n: int) -> str:
    """English word of an integer 0 <= n < 100, written as a single token."""
    if n < 20:
        return _ONES[n]
    tens, ones = divmod(n, 10)
    return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")


# kingdom -> (attributes of the kingdom, class -> (attributes of the class, species -> attributes)).
TAXONOMY = {
    "animal": (
        ("breathes", "moves"),
        {
            "bird": (
                ("feathered", "nests"),
                {"sparrow": "chirps", "eagle": "soars", "owl": "hoots", "heron": "wades"},
            ),
            "fish": (
                ("finned", "spawns"),
                {"trout": "darts", "salmon": "leaps", "pike": "lurks", "carp": "gulps"},
            ),
            "insect": (
                ("six-legged", "moults"),
                {"ant": "marches", "bee": "hums", "moth": "flutters", "beetle": "scuttles"},
            ),
        },
    ),
    "plant": (
        ("grows", "rooted"),
        {
            "tree": (
                ("wooden", "branches"),
                {"oak": "gnarled", "pine": "resinous", "birch": "pale", "willow": "weeps"},
            ),
            "flower": (
                ("petalled", "blossoms"),
                {"rose": "thorny", "tulip": "cupped", "lily": "waxen", "daisy": "rayed"},
            ),
            "grain": (
                ("husked", "ripens"),
                {"wheat": "golden", "rye": "bitter", "barley": "bearded", "millet": "beaded"},
            ),
        },
    ),
    "mineral": (
        ("lifeless", "mined"),
        {
            "metal": (
                ("conducts", "smelted"),
                {"iron": "rusts", "copper": "reddish", "tin": "soft", "zinc": "bluish"},
            ),
            "gem": (
                ("faceted", "sparkles"),
                {"ruby": "crimson", "opal": "milky", "jade": "emerald", "amber": "honeyed"},
            ),
            "rock": (
                ("quarried", "weathers"),
                {"granite": "speckled", "slate": "layered", "chalk": "powdery", "basalt": "dark"},
            ),
        },
    ),
    "artefact": (
        ("manufactured", "sold"),
        {
            "tool": (
                ("handled", "gripped"),
                {"hammer": "pounds", "saw": "cuts", "chisel": "carves", "drill": "bores"},
            ),
            "vehicle": (
                ("driven", "parked"),
                {"truck": "hauls", "ferry": "crosses", "tram": "clangs", "bicycle": "pedalled"},
            ),
            "instrument": (
                ("played", "tuned"),
                {"violin": "bowed", "flute": "blown", "drum": "beaten", "harp": "plucked"},
            ),
        },
    ),
}

# Words that hold the sentences together; they carry no planted structure.
FRAME = (
    "<bos>", ".", "on", "in", "we", "they", "then", "comes", "after", "before", "plus", "minus",
    "is", "count", "down", "less", "more", "than", "and", "between", "add", "a", "the", "every",
    "some", "like", "both", "are", "that",
)  # fmt: skip

_ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "kl")
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("b", "d", "f", "k", "l", "m", "n", "p", "r", "t")


def invented_words(count: int) -> list[str]:
    """`count` <= 4000 different pronounceable words without meaning, in a fixed order."""
    rows = [o + v + c + last for v in _VOWELS for last in _VOWELS for c in _CODAS for o in _ONSETS]
    # a stride without a common factor with 4000 visits every word, neighbours looking different
    return [rows[(1237 * i) % len(rows)] + "n" for i in range(count)]
