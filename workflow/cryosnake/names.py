"""Names that enter from files: what a job directory of a project is, and what a file can be called.

Pipeline files, tables and configs may come from other people. Whatever is written, moved or removed by a name from such
a file passes here first, so that only the project's own files are touched. Standard library only.
"""

from __future__ import annotations

import os

JOB_STARS = ("job.star", "run.job", "cryosnake.json")  # each job directory has one: RELION 3.1 and later, 3.0, ours
PIPELINE_FILE = "default_pipeline.star"
TRASH = "Trash"


def is_job_name(name: str) -> bool:
    """Whether a text names a job directory, as `Class2D/job007/`."""
    folder, _, job = name.partition("/")
    number = job[3:-1]  # not by a regular expression: compiling one takes longer than all else here
    return (folder[:1] not in ("", ".") and folder != TRASH and f"job{number}/" == job and len(number) >= 3
            and number.isdecimal() and number.isascii() and name.isprintable())


def is_alias(alias: str, job: str) -> bool:
    """Whether a text can be the alias of a job: a name in the job's type folder, as `Class2D/best/`."""
    folder, slash, name = alias.removesuffix("/").partition("/")
    return (f"{folder}{slash}" == job[:job.find("/") + 1] and name[:1] not in ("", ".") and "/" not in name
            and name.isprintable() and not is_job_name(f"{folder}/{name}/"))


def job_of_link(link: str | os.PathLike[str], folder: str) -> str:
    """Return the job that an alias link in a type folder points to, which may no longer exist; "" for other links.

    A relative link to a job that leads nowhere is an alias that another program wrote wrongly.
    """
    if not os.path.islink(link):
        return ""
    above = os.path.dirname(link)
    target = os.path.normpath(os.path.join(above, os.readlink(link)))
    job = f"{folder}/{os.path.basename(target)}/"
    inside = os.path.realpath(os.path.dirname(target)) == os.path.realpath(above)
    broken = not os.path.exists(link) and not os.path.isabs(os.readlink(link))
    return job if is_job_name(job) and (inside or broken) else ""


def is_listed_name(name: str) -> bool:
    """Whether a text can be the name of a file below a folder: relative, without `..`, and not too long."""
    parts = name.split("/")
    return (name[:1] != "/" and ".." not in parts and parts[-1] not in ("", ".") and "\0" not in name
            and (len(name) < 64 or all(len(os.fsencode(part)) < 256 for part in parts)))


def why_unusable(name: str) -> str:
    """Return why a file with this name can't be a movie or micrograph, "" if it can be.

    A name stands in tables of lines and tabs, in logs, and in STAR files, which hold it only as one line of UTF-8 text
    without both kinds of quotes.
    """
    if not name.isprintable():  # as few names are
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            return "its name is not UTF-8"
        if any(letter < " " or "\x7f" <= letter < "\xa0" or letter in "\u2028\u2029" for letter in name):
            return "its name has a line break, tab or other control character"
    return "its name has both kinds of quotes, which no STAR file can hold" if '"' in name and "'" in name else ""


def shown(name: str) -> str:
    """Return a name as it can be printed: one line, with escapes for what is no printable UTF-8."""
    if name.isprintable():
        return name
    text = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def is_below(folder: str | os.PathLike[str], name: str) -> bool:
    """Whether a listed file is below a folder: its name leads nowhere else, and neither does a link on the way."""
    if not is_listed_name(name):
        return False
    base = os.path.realpath(folder)
    place = os.path.realpath(os.path.join(base, os.path.dirname(name)))
    return place == base or place.startswith(f"{base.rstrip('/')}/")


def why_not_ours(project: str | os.PathLike[str], name: str) -> str:
    """Return why a directory is not a job directory of the project, "" if it is.

    A job directory is `Type/jobNNN/` inside the project, or where its owner moved it and left a link (of the job, or of
    the whole type). A link to another job, to another project, or to anything that is not a job is not ours.
    """
    if not is_job_name(name):
        return "it is not named like a job directory (Type/jobNNN/)"
    home, path = os.path.realpath(project), os.path.join(project, name.rstrip("/"))
    real = os.path.realpath(path)
    if real == os.path.join(home, name.rstrip("/")):
        return ""
    foreign = foreign_place(project, path)
    if foreign:
        return f"it is a link to {foreign}"
    if not os.path.isdir(real):
        return f"it is a link to {real}, which does not exist; mount its disk, or correct or remove the link"
    if os.path.islink(path) and not any(os.path.exists(os.path.join(real, file)) for file in JOB_STARS):
        return f"it is a link to {real}, which is not a job directory (no {JOB_STARS[0]})"
    return ""


def foreign_place(project: str | os.PathLike[str], path: str | os.PathLike[str]) -> str:
    """Return where a link leads if that is no place to move a job to, with the reason, else ""."""
    home, real = os.path.realpath(project), os.path.realpath(path)
    if f"{home}/".startswith(f"{real}/"):
        return f"{real}, which contains the project"
    first, _, rest = os.path.relpath(real, home).partition("/")
    if first == TRASH or is_job_name(f"{first}/{rest.partition('/')[0]}/"):
        return f"{real}, another job of this project"
    above = os.path.dirname(real)
    while above != os.path.dirname(above):
        if os.path.exists(os.path.join(above, PIPELINE_FILE)) and not f"{home}/".startswith(f"{above}/"):
            return f"{real}, which belongs to another project"
        above = os.path.dirname(above)
    return ""
