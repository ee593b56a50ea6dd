"""The words around an article, by language: menus, footers, banners."""

from __future__ import annotations

from typing import NamedTuple


class Wording(NamedTuple):
    """Boilerplate of a site in one language."""

    menu: tuple[str, ...]
    related: str
    comments: str
    cookies: str
    accept: str
    advert: str
    share: str
    footer: str


WORDINGS: dict[str, Wording] = {
    "en": Wording(
        ("Home", "Articles", "Archive", "About us", "Contact", "Newsletter"),
        "You may also like",
        "Comments",
        "We use cookies to improve your visit. You can change your settings at any time.",
        "Accept all",
        "Advertisement",
        "Share this page",
        "All rights reserved. Terms of use. Privacy policy.",
    ),
    "zh": Wording(
        ("首页", "文章", "归档", "关于我们", "联系方式", "订阅"),
        "相关阅读",
        "网友评论",
        "本网站使用 Cookie 以改善您的浏览体验。",
        "全部接受",
        "广告",
        "分享到",
        "版权所有,未经许可不得转载。",
    ),
    "ja": Wording(
        ("ホーム", "記事一覧", "過去の記事", "このサイトについて", "お問い合わせ"),
        "関連記事",
        "コメント",
        "当サイトでは利便性向上のためクッキーを使用しています。",
        "同意する",
        "広告",
        "この記事を共有",
        "無断転載を禁じます。",
    ),
    "de": Wording(
        ("Startseite", "Beiträge", "Archiv", "Über uns", "Kontakt", "Impressum"),
        "Das könnte Sie auch interessieren",
        "Kommentare",
        "Diese Website verwendet Cookies. Einzelheiten in der Datenschutzerklärung.",
        "Alle annehmen",
        "Anzeige",
        "Beitrag teilen",
        "Alle Rechte vorbehalten. Datenschutz. Nutzungsbedingungen.",
    ),
    "fr": Wording(
        ("Accueil", "Articles", "Archives", "À propos", "Contact", "Abonnement"),
        "À lire aussi",
        "Commentaires",
        "Ce site utilise des témoins de connexion pour améliorer votre visite.",
        "Tout accepter",
        "Publicité",
        "Partager",
        "Tous droits réservés. Mentions légales.",
    ),
    "es": Wording(
        ("Inicio", "Artículos", "Archivo", "Quiénes somos", "Contacto"),
        "También te puede interesar",
        "Comentarios",
        "Utilizamos cookies propias y de terceros para mejorar su visita.",
        "Aceptar todo",
        "Publicidad",
        "Compartir",
        "Todos los derechos reservados. Aviso legal.",
    ),
    "it": Wording(
        ("Prima pagina", "Articoli", "Archivio", "Chi siamo", "Contatti"),
        "Leggi anche",
        "Commenti",
        "Questo sito usa i cookie per migliorare la tua visita.",
        "Accetta tutto",
        "Pubblicità",
        "Condividi",
        "Tutti i diritti riservati. Note legali.",
    ),
    "pt": Wording(
        ("Início", "Artigos", "Arquivo", "Sobre nós", "Contacto"),
        "Leia também",
        "Comentários",
        "Este sítio utiliza cookies para melhorar a sua visita.",
        "Aceitar tudo",
        "Publicidade",
        "Partilhar",
        "Todos os direitos reservados. Aviso legal.",
    ),
    "ru": Wording(
        ("Главная", "Статьи", "Архив", "О нас", "Контакты", "Подписка"),
        "Читайте также",
        "Комментарии",
        "Сайт использует файлы cookie для удобства посетителей.",
        "Принять все",
        "Реклама",
        "Поделиться",
        "Все права защищены. Политика конфиденциальности.",
    ),
    "ar": Wording(
        ("الرئيسية", "المقالات", "الأرشيف", "من نحن", "اتصل بنا"),
        "اقرأ أيضا",
        "التعليقات",
        "يستخدم هذا الموقع ملفات تعريف الارتباط لتحسين زيارتك.",
        "قبول الكل",
        "إعلان",
        "شارك",
        "جميع الحقوق محفوظة.",
    ),
}
