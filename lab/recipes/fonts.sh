#!/bin/sh
# fonts.sh: install the Debian 12 fonts with which `python -m cotam_lab.train.text` renders its images.
#
# Without them only matplotlib's DejaVu family is used. 70 MB to download, 200 MB on disk. Run as root.
set -eu

apt-get update -qq

# Sans and serif of documents, the web and user interfaces; Noto core brings most of the world's scripts.
text="fonts-dejavu-core fonts-dejavu-extra fonts-liberation fonts-noto-core fonts-roboto-unhinted fonts-open-sans
    fonts-lato fonts-inter fonts-cantarell fonts-freefont-ttf fonts-linuxlibertine fonts-crosextra-carlito
    fonts-crosextra-caladea fonts-ebgaramond fonts-vollkorn fonts-gfs-didot fonts-sil-gentium fonts-quicksand
    fonts-play"

# Code, terminals and thermal printers: monospaced, OCR and bitmap-like outlines.
mono="fonts-hack fonts-firacode fonts-inconsolata fonts-jetbrains-mono fonts-anonymous-pro fonts-courier-prime
    fonts-monofur fonts-noto-mono fonts-ocr-a fonts-3270 fonts-spleen"

# Banners, signs and handwriting.
display="fonts-bebas-neue fonts-lobster fonts-lobstertwo fonts-yanone-kaffeesatz fonts-georgewilliams
    fonts-comic-neue fonts-dancingscript fonts-dkg-handwriting fonts-breip fonts-rufscript
    fonts-ecolier-court fonts-isabella fonts-kristi fonts-femkeklaver fonts-averia-sans-gwf"

# Scripts: Chinese, Japanese, Korean, Arabic, Hebrew, Devanagari, Bengali, Tamil, Thai. (Noto CJK would be better
# still, at 57 MB for these alone.)
scripts="fonts-wqy-microhei fonts-wqy-zenhei fonts-ipafont-gothic fonts-unfonts-core fonts-hosny-amiri
    fonts-kacst-one fonts-sil-scheherazade culmus fonts-sil-ezra fonts-lohit-deva fonts-lohit-beng-bengali
    fonts-lohit-taml fonts-tlwg-garuda fonts-thai-tlwg"

# shellcheck disable=SC2086  # the lists are split into words on purpose
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $text $mono $display $scripts
